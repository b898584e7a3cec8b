//! The experiments, one a file.

pub mod blip;
pub mod cap;
pub mod credit;
pub mod hanging;
pub mod herd;
pub mod hint;
pub mod hosts;
pub mod metastable;
pub mod occ;
pub mod outage;
pub mod pollers;
pub mod recovery;
pub mod retina;
pub mod small;
pub mod steady;
pub mod tiers;
