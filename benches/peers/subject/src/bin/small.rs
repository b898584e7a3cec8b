//! The least program that retries: what a subject adds to a binary is measured
//! on it.

use subject::{Knobs, Slept, Subject, operation};
use tokio::runtime::Builder;

fn main() {
    let runtime = Builder::new_current_thread().enable_time().build();
    let runtime = runtime.expect("a runtime without I/O");
    operation::fail(u32::try_from(std::env::args().count()).unwrap_or(1));
    let output = runtime.block_on(Slept::retry::<0>(Slept::policy(Knobs::new(1))));
    std::process::exit(i32::from(Slept::result(output).is_err()));
}
