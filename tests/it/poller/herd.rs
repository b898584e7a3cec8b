//! Many pollers that start together, and the server they call.

use std::{
    cell::{Cell, RefCell},
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    future::{Ready, ready},
    pin::pin,
    time::Duration,
};

use afterbeat::{Clock, Jitter, ManualTimer, PollerBuilder, Timer};
use futures_util::{
    FutureExt,
    future::{join_all, select},
};

const SECOND: Duration = Duration::from_secs(1);
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

/// Writes down the wait it is asked for, which is then over.
struct Told<'a>(&'a Cell<Duration>);

impl Clock for Told<'_> {
    type Instant = ();

    fn now(&self) {}

    fn elapsed(&self, (): ()) -> Duration {
        Duration::ZERO
    }
}

impl Timer for Told<'_> {
    type Sleep = Ready<()>;

    fn sleep(&self, wait: Duration) -> Ready<()> {
        self.0.set(wait);
        ready(())
    }
}

/// The same starts, of pollers as they come, of which the first begins at `first()`, and
/// of a server that answers nothing in the ten seconds from `stall` on. The waits are
/// those of the pollers; the time between them is kept here.
fn default_starts(
    seed: u64,
    mut first: impl FnMut() -> Duration,
    stall: Duration,
    horizon: Duration,
) -> BTreeMap<u128, usize> {
    fastrand::seed(seed);
    let wait = Cell::new(Duration::ZERO);
    let poller = || PollerBuilder::with_timer(Told(&wait), 5 * SECOND);
    let mut pollers: Vec<_> = (0..1000)
        .map(|_| Box::pin(poller().stream(|| ready(Ok::<(), ()>(())))))
        .collect();
    let mut due: BinaryHeap<_> = (0..1000).map(|n| Reverse((first(), n))).collect();
    let mut server_free_at = Duration::ZERO;
    let mut starts = BTreeMap::new();
    while let Some(Reverse((now, n))) = due.pop() {
        if now >= horizon {
            break;
        }
        *starts.entry(now.as_millis() / 100).or_default() += 1;
        server_free_at = server_free_at.max(now) + SERVICE;
        if (stall..stall + 10 * SECOND).contains(&server_free_at) {
            server_free_at = stall + 10 * SECOND + SERVICE;
        }
        let outcome = pollers[n].as_mut().next().now_or_never();
        assert_eq!(outcome, Some(Some(Ok(()))));
        due.push(Reverse((server_free_at + wait.get(), n)));
    }
    starts
}

/// The mean of the peaks of twenty seeds, times twenty.
fn peaks(from: u128, starts: impl Fn(u64) -> BTreeMap<u128, usize>) -> usize {
    (0..20).map(|seed| peak(&starts(seed), from)).sum()
}

/// H8: uniformly spread starts would have a mean peak of about 34 in as many tenths.
#[test]
fn a_thousand_default_pollers_released_together_are_spread_within_a_minute() {
    let together = |seed| default_starts(seed, || Duration::ZERO, Duration::MAX / 2, 180 * SECOND);
    let peaks = peaks(60, together);
    assert!(peaks <= 20 * 42, "mean {}", peaks as f64 / 20.0);
    assert_eq!(together(0)[&0], 1000);
}

/// H8: a stall brings them into step; they do not stay in it.
#[test]
fn a_thousand_default_pollers_are_spread_again_after_a_stall() {
    let stall = 60 * SECOND;
    let stalled = |seed| {
        let spread = || Duration::from_nanos(fastrand::u64(0..5_750_000_000));
        default_starts(seed, spread, stall, stall + 150 * SECOND)
    };
    let peaks = peaks(60 + 10 + 80, stalled);
    assert!(peaks <= 20 * 42, "mean {}", peaks as f64 / 20.0);
    let starts = stalled(0);
    let starts_in = |tenths| starts.range(tenths).map(|(_, n)| n).sum::<usize>();
    assert!(starts.range(500..600).all(|(_, n)| *n < 60), "spread");
    assert_eq!(
        (starts_in(670..750), starts_in(750..771)),
        (0, 1000),
        "in step"
    );
}
