//! Many pollers that start together, and the server they call.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    pin::pin,
    time::Duration,
};

use afterbeat::{Clock, Jitter, ManualTimer, PollerBuilder, Timer};
use futures_util::future::{join_all, select};

const SERVICE: Duration = Duration::from_micros(500);

/// The starts in each tenth of a second, of 1,000 pollers with an interval of 5 s that
/// call a server which answers 2,000 requests a second, in their order.
fn starts(jitter: Jitter, immediate: bool, horizon: Duration) -> BTreeMap<u128, usize> {
    let timer = ManualTimer::new();
    let starts = RefCell::new(BTreeMap::new());
    let server_free_at = Cell::new(Duration::ZERO);
    let request = || {
        let now = timer.now();
        *starts
            .borrow_mut()
            .entry(now.as_millis() / 100)
            .or_default() += 1;
        let answered = server_free_at.get().max(now) + SERVICE;
        server_free_at.set(answered);
        let answer = timer.sleep(answered - now);
        async {
            answer.await;
            Ok::<(), ()>(())
        }
    };
    let poller = PollerBuilder::with_timer(&timer, Duration::from_secs(5))
        .jitter(jitter)
        .immediate(immediate);
    let polls = (0..1000).map(|_| async {
        let mut poller = pin!(poller.stream(request));
        while poller.as_mut().next().await.is_some() {}
    });
    timer.run(select(pin!(join_all(polls)), timer.sleep(horizon)));
    starts.into_inner()
}

/// The greatest number of starts in a tenth of a second, from `from` on.
fn peak(starts: &BTreeMap<u128, usize>, from: u128) -> usize {
    *starts
        .range(from * 10..)
        .map(|(_, count)| count)
        .max()
        .unwrap()
}

/// H8: a server that is never idle between two answers keeps them in step for ever;
/// evenly spread they would be 20 in each tenth of a second.
#[test]
fn without_jitter_a_thousand_pollers_stay_together() {
    let starts = starts(Jitter::NONE, true, Duration::from_secs(300));
    assert_eq!(peak(&starts, 240), 200);
}

/// H8: a thousand Poisson arrivals at 20 in each tenth exceed 60 once in 10^9 runs.
#[test]
fn with_jitter_a_thousand_pollers_are_spread_within_a_minute() {
    let starts = starts(Jitter::between(0.5, 1.5), true, Duration::from_secs(90));
    assert_eq!(starts[&0], 1000);
    assert!(peak(&starts, 30) < 60, "{starts:?}");
}

/// A first wait that is drawn too spreads them from the beginning.
#[test]
fn with_a_random_first_wait_they_never_meet() {
    let jitter = Jitter::between(0.0, 2.0);
    let starts = starts(jitter, false, Duration::from_secs(60));
    assert!(peak(&starts, 0) < 60, "{starts:?}");
}
