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

use afterbeat::{Backoff, Event, PollerBuilder, RetryBuilder};

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

#[tokio::test(start_paused = true)]
async fn a_retry_allocates_nothing() {
    warm_up().await;
    for wait in [Duration::ZERO, Duration::from_secs(1)] {
        let call = async {
            let mut retries = 0;
            let policy = RetryBuilder::new()
                .backoff(Backoff::constant(wait))
                .max_retries(100)
                .max_elapsed(Duration::from_secs(1000))
                .observe(|event: Event<'_, ()>| {
                    if let Event::GaveUp { retries: made, .. } = event {
                        retries = made;
                    }
                });
            assert_eq!(policy.retry(|| ready(Err::<(), _>(()))).await, Err(()));
            assert_eq!(retries, 100);
        };
        assert_eq!(allocations(call).await, 0, "{wait:?}");
    }
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
