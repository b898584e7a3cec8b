//! What the types promise: sizes, auto traits, places they can be used, and
//! panics that point at the caller.

use std::{
    cell::RefCell,
    future::{Ready, ready},
    panic::{self, catch_unwind},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use afterbeat::{
    Always, Backoff, Clock, Delays, Event, Extras, InvalidFactor, InvalidJitter, Jitter,
    ManualTimer, PollerBuilder, PollerHandle, PollerRemote, PollerStatus, Retry, RetryBudget,
    RetryBuilder, Timer, TokioTimer, Unset,
};
use tokio::time::Sleep;

/// An operation of `8 · N` bytes without a niche.
struct Op<const N: usize>([u64; N]);

impl<const N: usize> Future for Op<N> {
    type Output = Result<u64, u64>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(Ok(self.0.iter().sum()))
    }
}

static BUDGET: RetryBudget = RetryBudget::new(1);

fn size_of_retry<const N: usize>() {
    let op = || Op([0; N]);
    let bound = 48 + (size_of::<Op<N>>() + 8).max(size_of::<Sleep>());
    let plain = size_of_val(&RetryBuilder::new().retry(op));
    assert!(plain <= bound, "{N}: {plain} > {bound}");

    let extras = RetryBuilder::new()
        .max_elapsed(Duration::from_secs(9))
        .max_retry_after(Duration::from_secs(9))
        .seed(9)
        .observe(|_: Event<'_, u64>| {})
        .should_retry(|_: &u64, _| true)
        .retry(op);
    let extras = size_of_val(&extras);
    assert!(extras <= bound + 40, "{N}: {extras} > {bound} + 40");

    // Limits, seed, a reference to the budget and what is owed to it, and the error.
    let budget = size_of_val(&RetryBuilder::new().budget(&BUDGET).retry(op));
    let owed = 56 + size_of::<Option<u64>>();
    assert!(budget <= bound + owed, "{N}: {budget} > {bound} + {owed}");
}

#[test]
fn a_retry_holds_48_bytes_beside_its_attempt_or_its_sleep() {
    size_of_retry::<0>();
    size_of_retry::<1>();
    size_of_retry::<2>();
    size_of_retry::<10>();
    size_of_retry::<11>();
    size_of_retry::<12>();
    size_of_retry::<13>();
    size_of_retry::<14>();
    size_of_retry::<15>();
    size_of_retry::<128>();
    assert_eq!(size_of::<RetryBuilder>(), 48);
    assert_eq!(size_of::<Backoff>(), 40);
}

#[test]
fn a_poller_holds_40_bytes_beside_its_run_or_its_wait() {
    let sleep = size_of::<tokio::time::Sleep>();
    let pulled = PollerBuilder::new(Duration::ZERO).stream(|| ready(Ok::<(), u8>(())));
    assert_eq!(size_of_val(&pulled), 40 + sleep);
    let backoff = PollerBuilder::new(Duration::ZERO).backoff(Backoff::new());
    let backoff = backoff.stream(|| ready(Ok::<(), u8>(())));
    assert_eq!(size_of_val(&backoff), 40 + sleep + size_of::<Backoff>());
    let run = || std::future::pending::<Result<(), u8>>();
    let (_handle, driver) = PollerBuilder::new(Duration::ZERO).driver(|_| run);
    assert!(size_of_val(&driver) <= 16 + sleep);
}

/// A field or a signature can say what a poller is.
#[test]
fn a_poller_can_be_named() {
    type Run = std::future::Ready<Result<(), u8>>;
    struct Held {
        builder: PollerBuilder<TokioTimer, Unset, Backoff>,
        pulled: afterbeat::SequentialPoller<fn() -> Run, Run, TokioTimer, Unset, Backoff>,
    }
    let run: fn() -> Run = || ready(Ok(()));
    let builder = PollerBuilder::new(Duration::ZERO).backoff(Backoff::new());
    let held = Held {
        builder,
        pulled: builder.stream(run),
    };
    assert!(format!("{:?}{:?}", held.builder, held.pulled).contains("failures: 0"));
}

#[test]
fn auto_traits_follow_from_the_parts() {
    fn value<T: Copy + Send + Sync + Unpin + 'static>() {}
    fn shared<T: Send + Sync + 'static>() {}
    fn send<T: Send>(_: &T) {}

    value::<Backoff>();
    value::<Jitter>();
    value::<RetryBuilder>();
    value::<RetryBuilder<TokioTimer, fn(&u8, u32) -> bool, Unset>>();
    value::<PollerBuilder>();
    value::<PollerStatus>();
    value::<Always>();
    shared::<Delays>();
    value::<RetryBuilder<TokioTimer, Always, Extras<(Unset, fn(Event<'_, u8>))>>>();
    shared::<ManualTimer>();
    shared::<PollerHandle>();
    shared::<PollerRemote>();
    shared::<InvalidFactor>();
    shared::<InvalidJitter>();
    send(&RetryBuilder::new().retry(|| ready(Ok::<(), u8>(()))));
    send(&PollerBuilder::new(Duration::ZERO).stream(|| ready(Ok::<(), u8>(()))));
}

#[tokio::test(start_paused = true)]
async fn a_retry_can_be_named_stored_and_spawned() {
    type Op = fn() -> Ready<Result<u8, u8>>;
    struct Call {
        retry: Pin<Box<Retry<Op, Ready<Result<u8, u8>>, u8, TokioTimer>>>,
    }
    const POLICY: RetryBuilder = RetryBuilder::new().max_retries(1).factor(1.5);
    let call = Call {
        retry: Box::pin(POLICY.retry((|| ready(Err(7))) as Op)),
    };
    assert_eq!(tokio::spawn(call.retry).await.unwrap(), Err(7));
}

#[test]
fn errors_and_operations_need_not_be_send() {
    let timer = ManualTimer::new();
    let log = RefCell::new(Vec::new());
    let policy = RetryBuilder::with_timer(&timer)
        .should_retry(|err: &Rc<str>, _| {
            log.borrow_mut().push(Rc::clone(err));
            true
        })
        .max_retries(2);
    let error: Rc<str> = "refused".into();
    let result = timer.run(policy.retry(|| ready(Err::<(), _>(Rc::clone(&error)))));
    assert!(
        Rc::ptr_eq(&result.unwrap_err(), &error),
        "the caller's error, unchanged"
    );
    assert_eq!(log.into_inner().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn the_tokio_timer_reads_tokios_clock() {
    let begun = TokioTimer.now();
    TokioTimer.sleep(Duration::from_secs(7)).await;
    assert_eq!(TokioTimer.elapsed(begun), Duration::from_secs(7));
}

/// The operation may borrow what lives beside it, and write to it.
#[tokio::test(start_paused = true)]
async fn an_operation_may_borrow() {
    let (mut calls, name) = (0, String::from("orders"));
    let result = RetryBuilder::new().retry(|| {
        calls += 1;
        let name = &name;
        async move {
            if name.len() == 6 {
                Err::<(), _>("refused")
            } else {
                Ok(())
            }
        }
    });
    assert_eq!(result.await, Err("refused"));
    assert_eq!(calls, 5);
}

/// Where a panic says it happened, and what it says.
fn panic_of(f: fn()) -> (String, u32, String) {
    thread_local! {
        static PANIC: RefCell<Option<(String, u32)>> = const { RefCell::new(None) };
    }
    let quiet = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let at = info.location().map(|at| (at.file().to_owned(), at.line()));
        PANIC.with_borrow_mut(|seen| *seen = at);
        quiet(info);
    }));
    let payload = catch_unwind(f).unwrap_err();
    let message = payload.downcast_ref::<&str>().map_or_else(
        || payload.downcast_ref::<String>().unwrap().clone(),
        |&s| s.to_owned(),
    );
    let (file, line) = PANIC.take().unwrap();
    (file, line, message)
}

#[test]
fn bad_literals_panic_at_the_callers_line_and_name_the_rule() {
    let factor = "factor must be finite and at least 1";
    let jitter = "jitter needs 0 <= low <= high, both finite, and high > 0";
    macro_rules! case {
        ($bad:expr, $rule:expr) => {
            ((|| drop(Box::new($bad))) as fn(), line!(), $rule)
        };
    }
    let cases = [
        case!(Backoff::new().factor(f64::NAN), factor),
        case!(Backoff::new().factor(f64::INFINITY), factor),
        case!(Backoff::new().factor(-2.0), factor),
        case!(Backoff::new().factor(0.5), factor),
        case!(RetryBuilder::new().factor(0.5), factor),
        case!(Jitter::between(1.0, 0.5), jitter),
        case!(Jitter::between(f64::NAN, 1.0), jitter),
        case!(Jitter::between(0.0, f64::INFINITY), jitter),
        case!(Jitter::between(-0.5, 1.0), jitter),
        case!(Jitter::between(0.0, 0.0), jitter),
    ];
    for (case, line, rule) in cases {
        assert_eq!(panic_of(case), (file!().to_owned(), line, rule.to_owned()));
    }
}
