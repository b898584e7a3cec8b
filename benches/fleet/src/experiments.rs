//! The experiments, one a file.

pub mod blip;
pub mod credit;
pub mod hanging;
pub mod hint;
pub mod recovery;
pub mod steady;
