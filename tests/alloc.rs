//! Allocations are counted, not timed: none on a first-try success, none for a
//! retry, none for a poller's run.

#![cfg(feature = "tokio")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    future::ready,
    pin::pin,
    time::Duration,
};

use afterbeat::{
    Always, Backoff, Event, Extras, PollerBuilder, RetryBudget, RetryBuilder, TokioTimer, Unset,
};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How often `future` allocates on this thread.
async fn allocations(future: impl Future<Output = ()>) -> usize {
    let before = ALLOCATIONS.get();
    future.await;
    ALLOCATIONS.get() - before
}

/// Lets the runtime's own timer allocate what it allocates once.
async fn warm_up() {
    tokio::time::sleep(Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn the_counter_counts() {
    assert_eq!(allocations(async { drop(Box::new(7)) }).await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_first_try_success_allocates_nothing() {
    let call = async {
        let policy = RetryBuilder::new().should_retry(|(): &(), _| true);
        assert_eq!(policy.retry(|| ready(Ok(7))).await, Ok(7));
    };
    assert_eq!(allocations(call).await, 0);
}

static BUDGET: RetryBudget = RetryBudget::new(10_000);

/// A policy with everything, which makes a hundred retries and says so.
#[expect(
    clippy::type_complexity,
    reason = "a policy spelt out, as its users may have to"
)]
fn policy(
    wait: Duration,
    retries: &Cell<u32>,
) -> RetryBuilder<
    TokioTimer,
    Always,
    Extras<(Unset, impl FnMut(Event<'_, ()>)), &'static RetryBudget>,
> {
    RetryBuilder::new()
        .backoff(Backoff::constant(wait))
        .max_retries(100)
        .max_elapsed(Duration::from_secs(1000))
        .seed(7)
        .budget(&BUDGET)
        .observe(|event: Event<'_, ()>| {
            if let Event::GaveUp { retries: made, .. } = event {
                retries.set(made);
            }
        })
}

#[tokio::test(start_paused = true)]
async fn a_retry_allocates_nothing_through_any_door() {
    warm_up().await;
    let made = Cell::new(0);
    for wait in [Duration::ZERO, Duration::from_secs(1)] {
        let retry = async {
            let failed = policy(wait, &made).retry(|| ready(Err::<(), _>(())));
            assert_eq!(failed.await, Err(()));
        };
        assert_eq!(allocations(retry).await, 0, "retry, {wait:?}");

        let retry_with = async {
            let mut calls = 0;
            let failed = policy(wait, &made).retry_with(&mut calls, async |calls: &mut u32| {
                *calls += 1;
                Err::<(), _>(())
            });
            assert_eq!(failed.await, Err(()));
        };
        assert_eq!(allocations(retry_with).await, 0, "retry_with, {wait:?}");

        let attempts = async {
            let mut attempts = policy(wait, &made).attempts();
            while attempts.failed(()).await.is_ok() {}
        };
        assert_eq!(allocations(attempts).await, 0, "attempts, {wait:?}");
        assert_eq!(made.replace(0), 100);
    }
    let blocking = async {
        let failed = policy(Duration::ZERO, &made).retry_blocking(|| Err::<(), _>(()));
        assert_eq!(failed, Err(()));
    };
    assert_eq!(allocations(blocking).await, 0, "retry_blocking");
    assert_eq!(made.get(), 100);
}

#[tokio::test(start_paused = true)]
async fn a_pollers_run_allocates_nothing() {
    warm_up().await;
    let polls = async {
        let poller = PollerBuilder::new(Duration::from_secs(1)).stream(|| ready(Ok::<_, ()>(7)));
        let mut poller = pin!(poller);
        for _ in 0..100 {
            assert_eq!(poller.as_mut().next().await, Some(Ok(7)));
        }
    };
    assert_eq!(allocations(polls).await, 0);
}
