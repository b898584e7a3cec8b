//! Allocations are counted, not timed: none on a first-try success, none for a
//! retry, none for a poller's run; and a refresher holds what is of use.

#![cfg(feature = "tokio")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    future::ready,
    pin::pin,
    time::Duration,
};

use afterbeat::{
    Always, AnyPolicy, Backoff, Event, Extras, Policy, PollerBuilder, RetryBudget, RetryBuilder,
    TokioTimer, Unset,
};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
    static BYTES_HELD: Cell<isize> = const { Cell::new(0) };
}

// SAFETY: every call is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        BYTES_HELD.set(BYTES_HELD.get() + layout.size() as isize);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        BYTES_HELD.set(BYTES_HELD.get() - layout.size() as isize);
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

/// An erased policy allocates when it is made, and once in a sequence that fails.
#[tokio::test(start_paused = true)]
async fn an_erased_policy_allocates_once_in_a_sequence_that_fails() {
    warm_up().await;
    let mut last = None;
    let policy = RetryBuilder::new()
        .backoff(Backoff::constant(Duration::from_secs(1)))
        .max_retries(100)
        .budget(&BUDGET)
        .observe(move |event: Event<'_, u8>| {
            let first = last.replace(event.elapsed()).is_none();
            assert_eq!(first, event.elapsed() == Duration::ZERO);
        });
    let before = ALLOCATIONS.get();
    let policy = AnyPolicy::from(policy);
    assert_eq!(ALLOCATIONS.get() - before, 1);
    let succeeds = async {
        assert_eq!(policy.clone().retry(|| ready(Ok(7))).await, Ok(7));
    };
    assert_eq!(allocations(succeeds).await, 0);
    let fails = async {
        assert_eq!(
            policy.clone().retry(|| ready(Err::<(), _>(7))).await,
            Err(7)
        );
    };
    assert_eq!(allocations(fails).await, 1);
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

/// A program may ask for any number of templates, here each second for another: no more
/// tokens are held than live at a time.
#[cfg(feature = "clerk")]
#[test]
fn a_refresher_holds_no_token_that_has_expired() {
    use afterbeat::{
        Clock, ManualTimer, Timer,
        clerk::{RefresherBuilder, Request, Response, TokenRequest, Transport, TransportError},
    };
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    use futures_util::future::{Either, select};
    use serde_json::json;

    const TOKEN: usize = 3000;

    struct Api(ManualTimer);

    impl Transport for Api {
        async fn send(&self, request: Request) -> Result<Response, TransportError> {
            let issued = self.0.now().as_secs();
            let subject = "u".repeat(TOKEN);
            let claims = json!({ "sid": "s", "sub": subject, "iat": issued, "exp": issued + 60 });
            let claims = URL_SAFE_NO_PAD.encode(claims.to_string());
            let body = match request.path() {
                "/v1/client" => json!({ "response": { "sessions": [{ "id": "s" }] } }),
                _ => json!({ "jwt": format!("e30.{claims}.c2ln") }),
            };
            Ok(Response::new(200, body.to_string()))
        }
    }

    let timer = ManualTimer::new();
    let api = "https://clerk.example.test".parse().unwrap();
    let builder = RefresherBuilder::with_timer(timer.clone(), api, Api(timer.clone()));
    let (refresher, driver) = builder.driver();
    let scenario = async {
        let mut held = 0;
        for n in 0..300 {
            let request = TokenRequest::new().template(n.to_string());
            refresher.token(&request).await.unwrap();
            if n == 100 {
                held = BYTES_HELD.get();
            }
            timer.sleep(Duration::from_secs(1)).await;
        }
        BYTES_HELD.get() - held
    };
    let grown = match timer.run(select(pin!(scenario), driver)) {
        Either::Left((grown, _)) => grown,
        Either::Right(_) => panic!("the driver ended"),
    };
    assert!(grown < 30 * TOKEN as isize, "{grown} bytes more");
}
