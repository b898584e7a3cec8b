//! The experiments, one a file.

mod blip;
mod cap;
mod credit;
mod hanging;
mod herd;
mod hint;
mod hosts;
mod metastable;
mod occ;
mod outage;
mod pollers;
mod recovery;
mod retina;
mod small;
mod steady;
mod tiers;

use crate::{report::Section, scale::Scale};

/// All of them, in the order of the page.
pub const ALL: [fn(Scale) -> Section; 16] = [
    cap::section,
    retina::section,
    occ::section,
    recovery::section,
    metastable::section,
    small::section,
    herd::section,
    tiers::section,
    hosts::section,
    blip::section,
    steady::section,
    hanging::section,
    credit::section,
    hint::section,
    pollers::section,
    outage::section,
];
