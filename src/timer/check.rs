use core::{
    future::{Future, poll_fn},
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};
use std::{sync::Arc, task::Wake};

use super::Timer;

const HOUR: Duration = Duration::from_secs(3600);

/// Checks that a timer keeps the contract of [`Clock`](super::Clock) and [`Timer`].
///
/// Call it in a test of your own timer, on the executor that the timer belongs to. It
/// sleeps for about 30 ms of the timer's own time. `later` returns a reading that lies the
/// given time, an hour, after another. For a counter that wraps, run the check also shortly
/// before the wrap.
///
/// - A sleep is never ready early, by the timer's own clock, also if it ends between two
///   ticks.
/// - The shortest sleep waits at least once.
/// - The longest sleep neither panics nor ends.
/// - The time since a reading from the future is zero.
/// - Sleeps that were dropped leave nothing: of a task, at most one waker, however many
///   sleeps it has dropped.
///
/// # Panics
///
/// If a law does not hold, with a message that names it.
///
/// # Examples
///
/// ```
/// use afterbeat::{ManualTimer, check_timer};
///
/// let timer = ManualTimer::new();
/// timer.run(check_timer(&timer, |instant, hour| instant + hour));
/// ```
///
/// A timer that rounds down:
///
/// ```should_panic
/// use std::time::Duration;
/// use afterbeat::{Clock, ManualSleep, ManualTimer, Timer, check_timer};
///
/// struct Millis(ManualTimer);
///
/// impl Clock for Millis {
///     type Instant = Duration;
///
///     fn now(&self) -> Duration {
///         self.0.now()
///     }
///     fn elapsed(&self, since: Duration) -> Duration {
///         self.0.elapsed(since)
///     }
/// }
///
/// impl Timer for Millis {
///     type Sleep = ManualSleep;
///
///     fn sleep(&self, duration: Duration) -> ManualSleep {
///         self.0.sleep(Duration::from_millis(duration.as_millis() as u64))
///     }
/// }
///
/// let timer = Millis(ManualTimer::new());
/// timer.0.run(check_timer(&timer, |instant, hour| instant + hour));
/// ```
pub async fn check_timer<T: Timer>(timer: &T, later: impl Fn(T::Instant, Duration) -> T::Instant) {
    let ahead = timer.elapsed(later(timer.now(), HOUR));
    assert_eq!(
        ahead,
        Duration::ZERO,
        "the time since a reading from the future is zero"
    );

    // On a busy machine a short sleep may be over before it is polled: not each time.
    let mut waited = false;
    for _ in 0..1000 {
        let mut sleep = pin!(timer.sleep(Duration::from_nanos(1)));
        poll_fn(|context| match sleep.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(()),
            Poll::Pending => {
                waited = true;
                Poll::Pending
            }
        })
        .await;
        if waited {
            break;
        }
    }
    assert!(waited, "the shortest sleep waits at least once");

    for micros in [1, 999, 1_000, 1_001, 12_700, 10_300] {
        let asked = Duration::from_micros(micros);
        let begun = timer.now();
        timer.sleep(asked).await;
        let slept = timer.elapsed(begun);
        assert!(
            slept >= asked,
            "a sleep of {asked:?} was ready after {slept:?}"
        );
    }

    let task = Arc::new(Task);
    let waker = Waker::from(Arc::clone(&task));
    let mut context = Context::from_waker(&waker);
    for sleep in [HOUR; 100].into_iter().chain([Duration::MAX]) {
        let mut sleeping = pin!(timer.sleep(sleep));
        let ready = sleeping.as_mut().poll(&mut context).is_ready();
        assert!(!ready, "a sleep of {sleep:?} was ready immediately");
    }
    // Gives a timer that cleans up on a thread of its own the time to do so.
    timer.sleep(Duration::from_millis(2)).await;
    let kept = Arc::strong_count(&task) - 2;
    assert!(kept <= 1, "dropped sleeps have left {kept} wakers");
}

/// Whose sleeps are dropped.
struct Task;

impl Wake for Task {
    fn wake(self: Arc<Self>) {}
}
