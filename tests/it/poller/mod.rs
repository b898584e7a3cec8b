//! The poller: what must hold, and where it is shown. [`reference`] is asked after every
//! step of a random sequence; the other tests are named by what they show.
//!
//! | | property | beside the model |
//! |---|---|---|
//! | P1 | at most one run is alive | the assertion in every run; `soak_poller` |
//! | P2 | a whole wait lies between two runs | timelines in [`contract`] |
//! | P3 | the first run comes as configured | `a_pulled_poller_is_configured_alike` |
//! | P4 | an `Err` re-arms, and backs off | `failures_lengthen_the_wait_and_never_shorten_it` |
//! | P5 | a panic ends it visibly | `a_panic_ends_the_poller_visibly_and_its_payload_is_kept` |
//! | P6 | stop is final until start | `a_stop_in_the_instant_the_timer_fires_wins`; loom |
//! | P7 | stop and shutdown let a run finish | `s1_a_stop_during_a_run_holds` |
//! | P8 | orders are idempotent | `p3_starting_twice_is_one_loop`, `s2_...` |
//! | P9 | drop cancels at once | `dropping_the_handle_drops_the_run...`; loom |
//! | P10 | a trigger is one run, never lost | `a_trigger_runs_now_or_once_more`; loom |
//! | P11 | orders take effect in their order | several without a turn of the driver |
//! | P12 | a new interval re-times the wait | `a_shorter_interval_shortens...` |
//! | P13 | a run may order its own poller | `Step::FromInside` |
//! | P14 | a started poller runs for ever | `next_run` is told, and comes |
//! | P15 | a pause keeps the deadline | timelines in [`contract`]; loom |
//! | P16 | a jump of the clock is one run | `one_run_follows_however_far_the_clock_has_jumped` |
//! | P17 | nothing is polled in vain | `nothing_is_polled_in_vain` |
//! | P18 | a run sees what the last one did | `soak_poller` |

// `reference` finds it in `super`, here as beside the machine.
use afterbeat::PollerPhase;

mod contract;
mod herd;
mod model;
#[path = "../../../src/poller/machine/tests/model.rs"]
mod reference;
mod rig;
