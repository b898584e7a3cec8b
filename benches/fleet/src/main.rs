mod answer;
mod arrivals;
mod client;
mod cores;
mod experiments;
mod failure;
mod hint;
mod law;
mod limiter;
mod peers;
mod queue;
mod report;
mod scale;
mod sim;
mod stats;

use law::Law;
use scale::Scale;

fn main() {
    let scale = if std::env::args().any(|a| a == "--check") { Scale::Check } else { Scale::Table };
    let laws = [Law::NoRetries, Law::A, Law::Held, Law::Fixed, Law::Growing, Law::Crate];
    let ours = [Law::Fixed, Law::Growing];
    let t = std::time::Instant::now();
    let mut show = |section: report::Section| {
        println!("{}\n({:.1?})\n", section.page(), t.elapsed());
    };
    show(experiments::small::section(scale, Law::Growing));
    show(experiments::hosts::section(scale, Law::Growing));
    show(experiments::outage::section(scale));
    if true { return }
    show(experiments::hint::section(scale, true));
    show(experiments::hosts::section(scale, Law::Fixed));
    show(experiments::hosts::section(scale, Law::Growing));
    show(experiments::tiers::section(scale, Law::Growing));
    show(experiments::outage::section(scale));
    show(experiments::pollers::section(scale));
    show(experiments::metastable::section(scale, Law::Growing));
    if true { return }
    show(experiments::herd::section(scale, Law::Growing));
    show(experiments::metastable::section(scale, Law::Growing));
    if true { return }
    show(experiments::occ::section(scale));
    show(experiments::cap::section(scale));
    show(experiments::retina::section(scale));
    if true { return }
    show(experiments::hint::section(scale, true));
    show(experiments::credit::section(scale, &laws, &ours));
    show(experiments::hanging::section(scale, &laws, &ours));
    show(experiments::blip::section(scale, &laws, &ours));
    show(experiments::recovery::section(scale, &laws, &ours));
    show(experiments::steady::section(scale, &laws, &ours));
}
