//! The poller against the reference model, under random orders.

use std::time::Duration;

use futures_util::FutureExt;
use proptest::prelude::*;

use super::{
    reference::{Model, cases, turn},
    rig::{Rig, changed},
};

proptest! {
    #![proptest_config(cases())]

    /// P1 to P17: after each of a random sequence of orders, the poller stands where
    /// the model stands, and whoever waits for a change has been told.
    #[test]
    fn every_poller_is_that_of_the_model(
        interval in 0..20u64,
        backoff in 0..40u64,
        immediate: bool,
        steps in prop::collection::vec(turn(), 1..60),
    ) {
        let [interval, backoff] = [interval, backoff].map(Duration::from_secs);
        let mut rig = Rig::new(interval, backoff, immediate);
        let mut model = Model::new(interval, backoff, immediate);
        rig.settle();
        for (step, turn) in steps {
            model.step(step);
            rig.give(step);
            if !turn {
                continue;
            }
            model.settle();
            rig.settle();
            prop_assert_eq!(rig.runs.begun.get(), model.begun, "{:?}", step);
            prop_assert_eq!(rig.runs.alive.get(), u32::from(model.in_flight), "{:?}", step);
            prop_assert_eq!(rig.driver.is_none(), model.over, "{:?}", step);
            let seen = rig.watch.seen.get();
            prop_assert_eq!(seen.phase, model.phase(), "{:?}", step);
            prop_assert_eq!((seen.runs, seen.failures), (model.runs, model.failures));
            if let Some(status) = rig.status() {
                prop_assert_eq!(status.next_run, model.next_run(), "{:?}", step);
                prop_assert!(!changed(&seen, &status), "{:?}", step);
            }
            let sleeping = model.next_run().is_some_and(|left| left > Duration::ZERO);
            prop_assert_eq!(rig.timer.sleeping(), usize::from(sleeping), "{:?}", step);
        }
        let mut panicked = model.panicked;
        for mut shutdown in rig.shutdowns {
            let end = shutdown.as_mut().now_or_never();
            prop_assert_eq!(end.is_some(), model.over);
            let told = end.is_some_and(|end| end.is_err());
            prop_assert_eq!(told, std::mem::take(&mut panicked), "to the first alone");
        }
    }
}
