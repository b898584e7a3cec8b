//! Orders that fall between two steps of the driver, and what is told at the end.

use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use afterbeat::{
    Timer,
    clerk::{
        MemoryStore, Refresher, RefresherEvent, RefresherStatus, Response, TokenRequest, TokenStore,
    },
};
use futures_util::FutureExt;
use futures_util::future::{join, poll_fn, select};
use serde_json::json;

use super::fapi::{Answer, Call, Fapi, On, SECOND, client, exactly, jwt, session};
use super::requirements::fails_500;

/// A driver's waker that signs the user out the n-th time that the driver wakes itself.
struct SignsOut {
    refresher: Arc<Refresher>,
    fapi: Fapi,
    polled: AtomicBool,
    wakes: AtomicUsize,
    at: usize,
    sent: AtomicUsize,
    inner: Mutex<Waker>,
}

impl Wake for SignsOut {
    fn wake(self: Arc<Self>) {
        // Not the clock's wakes: no step lies around them.
        let within = self.polled.load(Ordering::Relaxed);
        if within && self.wakes.fetch_add(1, Ordering::Relaxed) == self.at {
            self.refresher.sign_out();
            let sent = self.fapi.calls().len();
            self.sent.store(sent, Ordering::Relaxed);
        }
        let inner = self.inner.lock().unwrap().clone();
        inner.wake();
    }
}

#[test]
fn a_sign_out_between_any_two_steps_is_final() {
    let scripts: [fn(&Call) -> Answer; 4] = [
        |_| Answer::Fine,
        |call| match call.on {
            On::Tokens => Answer::Fine,
            On::Client => fails_500(),
        },
        |_| fails_500(),
        |call| {
            let body = match call.on {
                On::Tokens => json!({ "jwt": of_session("sess_1", 1) }),
                On::Client => client(&json!([session(
                    &json!({ "jwt": of_session("sess_1", 0) })
                )])),
            };
            Answer::Exactly(Response::new(200, body.to_string()).authorization("rotated"))
        },
    ];
    let mut reached = 0;
    for (script, at) in scripts
        .into_iter()
        .flat_map(|s| (0..30).map(move |at| (s, at)))
    {
        let fapi = Fapi::new(script);
        let store = MemoryStore::default();
        // What another process has left behind.
        let (before, driver) = fapi.builder().store(store.clone()).driver();
        fapi.timer.run(select(pin!(before.ready()), driver));
        drop(before);
        let told = Arc::new(Mutex::new(Vec::new()));
        let notes = Arc::clone(&told);
        let builder = fapi.builder().store(store);
        let builder = builder.last_token(&of_session("sess_1", 0)).unwrap();
        let builder = builder.observe(move |event| notes.lock().unwrap().push(event));
        let (refresher, mut driver) = builder.driver();
        let hook = Arc::new(SignsOut {
            refresher: Arc::new(refresher),
            fapi: fapi.clone(),
            polled: AtomicBool::new(false),
            wakes: AtomicUsize::new(0),
            at,
            sent: AtomicUsize::new(usize::MAX),
            inner: Mutex::new(Waker::noop().clone()),
        });
        let hooked = poll_fn(|context| {
            context.waker().clone_into(&mut hook.inner.lock().unwrap());
            hook.polled.store(true, Ordering::Relaxed);
            let waker = Waker::from(Arc::clone(&hook));
            let polled = Pin::new(&mut driver).poll(&mut Context::from_waker(&waker));
            hook.polled.store(false, Ordering::Relaxed);
            polled
        });
        let sleep = fapi.timer.sleep(200 * SECOND);
        fapi.timer.run(select(pin!(sleep), pin!(hooked)));
        let sent = hook.sent.load(Ordering::Relaxed);
        if sent == usize::MAX {
            continue;
        }
        reached += 1;
        let of = format!("wake {at}: {:#?}", told.lock().unwrap());
        let status = hook.refresher.status();
        assert!(
            matches!(status, RefresherStatus::SignedOut(_)),
            "{status:?} {of}"
        );
        assert_eq!(fapi.calls().len(), sent, "{of}");
        let told = told.lock().unwrap();
        let over =
            |event: &_| matches!(event, RefresherEvent::Status(RefresherStatus::SignedOut(_)));
        let end = told.iter().position(over).expect("told of the sign-out");
        assert_eq!(end + 1, told.len(), "{of}");
    }
    assert!(reached > 20, "{reached}");
}

fn of_session(sid: &str, issued: u64) -> String {
    let issued = 1_700_000_000 + issued;
    jwt(&json!({ "sid": sid, "sub": "user_1", "iat": issued, "exp": issued + 60 }))
}

/// Whoever keeps the state by the observer must hear of the end.
#[test]
fn what_has_happened_is_told_also_where_the_refresher_ends_at_once() {
    for by_drop in [false, true] {
        let fapi = Fapi::new(|_| Answer::Fine);
        let told = Arc::new(Mutex::new(Vec::new()));
        let notes = Arc::clone(&told);
        let builder = fapi.builder().store(MemoryStore::default());
        let builder = builder.observe(move |event| notes.lock().unwrap().push(event));
        let (refresher, driver) = builder.driver();
        fapi.timer.run(join(driver, async {
            refresher.get_token().await.unwrap();
            fapi.timer.sleep(SECOND).await;
            refresher.sign_out();
            if by_drop {
                drop(refresher);
            } else {
                refresher.shutdown().await;
            }
        }));
        let last = told.lock().unwrap().pop();
        let signed_out = RefresherStatus::SignedOut(afterbeat::clerk::Refusal::default());
        assert!(
            matches!(&last, Some(RefresherEvent::Status(status)) if *status == signed_out),
            "by drop {by_drop}: {last:?}"
        );
    }
}

/// One that a caller has asked for already, by the organization's name.
#[test]
fn the_cached_token_of_an_organization_that_becomes_the_active_one_is_told_of() {
    let fapi = Fapi::new(|_| Answer::Fine);
    let told = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&told);
    let builder = fapi.builder().observe(move |event| {
        if let RefresherEvent::Token(token) = event {
            notes.lock().unwrap().push(token.expose().to_owned());
        }
    });
    fapi.with(builder, async |refresher| {
        let own = refresher.get_token().await.unwrap();
        fapi.timer.sleep(SECOND).await;
        let request = TokenRequest::new().organization("org_1");
        let other = refresher.token(&request).await.unwrap();
        refresher.set_organization(Some("org_1"));
        assert_eq!(
            refresher.get_token().await.unwrap().expose(),
            other.expose()
        );
        fapi.timer.sleep(SECOND).await;
        let expected = [own.expose(), other.expose()];
        assert_eq!(*told.lock().unwrap(), expected);
        // The same again is no news.
        refresher.set_organization(Some("org_1"));
        fapi.timer.sleep(SECOND).await;
        assert_eq!(told.lock().unwrap().len(), 2);
    });
}

#[test]
fn a_client_with_another_sessions_token_is_not_believed() {
    let fapi = Fapi::new(|call| match call.on {
        On::Tokens => Answer::Fine,
        On::Client => {
            let foreign = json!({ "jwt": of_session("sess_2", 0) });
            exactly(200, &client(&json!([session(&foreign)])))
        }
    });
    fapi.run(async |refresher| {
        let token = refresher.get_token().await.unwrap();
        assert_eq!(token.claims().session_id(), "sess_1");
    });
}

/// The sequence has not failed, and takes no longer than a caller may wait.
#[test]
fn a_token_in_its_last_second_is_not_given_out_where_a_new_one_comes() {
    let mut fapi = Fapi::new(|_| Answer::Fine);
    fapi.latency = Duration::from_millis(100);
    fapi.with(fapi.builder(), async |refresher| {
        refresher.ready().await.unwrap();
        refresher.poller().stop();
        fapi.timer.sleep(Duration::from_millis(59_400)).await;
        let token = refresher.get_token().await.unwrap();
        assert!(token.expires_in() > 59 * SECOND, "{token:?}");
    });
}

/// Only a request in flight is waited for, and nothing that ends so has failed.
#[test]
fn a_shutdown_waits_for_no_lock_that_another_process_holds() {
    let fapi = Fapi::new(|_| Answer::Fine);
    let store = MemoryStore::default();
    let told = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&told);
    let builder = fapi.builder().store(store.clone());
    let builder = builder.observe(move |event| notes.lock().unwrap().push(event));
    let (refresher, driver) = builder.driver();
    fapi.timer.run(join(driver, async {
        refresher.get_token().await.unwrap();
        let _held = store.try_lock().unwrap().unwrap();
        let templates = ["a", "b", "c"].map(|name| TokenRequest::new().template(name));
        for request in [TokenRequest::new().force()].iter().chain(&templates) {
            assert!(refresher.token(request).now_or_never().is_none());
        }
        fapi.timer.sleep(SECOND).await;
        refresher.shutdown().await;
        let took = fapi.timer.now() - SECOND;
        assert!(took < SECOND, "{took:?}");
    }));
    let told = told.lock().unwrap();
    let statuses = told.iter().filter_map(|event| match event {
        RefresherEvent::Status(status) => Some(status),
        _ => None,
    });
    assert!(statuses.eq([&RefresherStatus::Ready]), "{told:#?}");
}

/// The API rolls back: what it mints is older than what is there, for ever.
#[test]
fn a_token_that_is_to_be_refreshed_keeps_no_other_out() {
    let fapi = Fapi::new(|call| match call.on {
        On::Tokens => {
            let issued = 1_600_000_000 + call.at.as_secs();
            let claims = json!({
                "sid": "sess_1", "sub": "user_1", "iat": issued, "exp": issued + 60,
            });
            exactly(200, &json!({ "jwt": jwt(&claims) }))
        }
        On::Client => Answer::Fine,
    });
    fapi.with(fapi.builder(), async |refresher| {
        for _ in 0..600 {
            fapi.timer.sleep(SECOND / 10).await;
            refresher.get_token().await.unwrap();
        }
    });
    let mints = fapi.instants(On::Tokens);
    assert!(mints.len() <= 2, "{mints:?}");
}

/// After the next sign-in the store does not bring the old client token back.
#[test]
fn a_client_token_that_the_api_refuses_is_forgotten_for_good() {
    let store = MemoryStore::default();
    let fapi = Fapi::new(|call| match call.authorization.as_deref() {
        Some("after-the-next-sign-in") => Answer::Fine,
        _ if call.at < 50 * SECOND => Answer::Fine,
        _ => Answer::Fails(401, "signed_out"),
    });
    let first = fapi.builder().store(store.clone());
    fapi.with(first, async |refresher| {
        fapi.timer.sleep(100 * SECOND).await;
        assert!(matches!(refresher.status(), RefresherStatus::SignedOut(_)));
        fapi.timer.sleep(SECOND).await;
    });
    let token = "after-the-next-sign-in".parse().unwrap();
    let second = fapi.builder().client_token(token).store(store);
    fapi.with(second, async |refresher| {
        refresher.get_token().await.unwrap()
    });
}

/// An answer from some cache on the way brings the same token again.
#[test]
fn the_same_token_again_is_no_younger_than_it_was() {
    let api = Fapi::new(|_| Answer::Fine);
    let token = api.jwt();
    let fapi = Fapi::new(move |call| match call.on {
        On::Tokens => exactly(200, &json!({ "jwt": token })),
        On::Client => exactly(200, &client(&json!([session(&serde_json::Value::Null)]))),
    });
    fapi.with(fapi.builder(), async |refresher| {
        for second in 0..100 {
            let token = refresher.get_token().await;
            let left = token.map_or(Duration::ZERO, |token| token.expires_in());
            assert!(
                left <= 60 * SECOND - fapi.timer.now().min(60 * SECOND),
                "{second}"
            );
            fapi.timer.sleep(SECOND).await;
        }
    });
}
