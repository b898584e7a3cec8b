//! What a store keeps for the next run, and what is done where it fails.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use afterbeat::{
    Clock, Timer,
    clerk::{Cause, MemoryStore, RefresherStatus, Response, StoreLock, TokenRequest, TokenStore},
};
use futures_util::future::join;
use serde_json::json;

use super::rig::{
    Answer, CLIENT_TOKEN, Fapi, On, SECOND, Told, cause, fails_401, fails_500, first_jwt, forced,
    no_session, quiet, seconds, template, text, until,
};

/// A store with troubles.
#[derive(Clone, Default)]
struct Troubled {
    memory: MemoryStore,
    loads_fail: Arc<AtomicBool>,
    saves_fail: Arc<AtomicBool>,
}

impl Troubled {
    fn text(&self) -> String {
        text(&self.memory)
    }
}

impl TokenStore for Troubled {
    fn try_lock(&self) -> io::Result<Option<StoreLock>> {
        self.memory.try_lock()
    }
    fn load(&self) -> io::Result<Option<Vec<u8>>> {
        if self.loads_fail.load(Ordering::Relaxed) {
            Err(io::Error::other("planted"))
        } else {
            self.memory.load()
        }
    }
    fn save(&self, state: &[u8]) -> io::Result<()> {
        if self.saves_fail.load(Ordering::Relaxed) {
            Err(io::Error::other("planted"))
        } else {
            self.memory.save(state)
        }
    }
}

#[test]
pub(super) fn a_save_that_fails_is_told_and_loses_no_rotated_token() {
    let rotated = AtomicU32::new(0);
    let fapi = Fapi::tokens_fail_from(Duration::ZERO, move |call| {
        if call.url.contains("/rotates?") {
            let n = rotated.fetch_add(1, Ordering::Relaxed);
            let header = format!("rotated-{n}");
            return Answer::Exactly(Response::new(404, "").authorization(header));
        }
        Answer::Fine
    });
    let store = Troubled::default();
    let (told, builder) = Told::by(&fapi, fapi.seed().store(store.clone()));
    fapi.with(builder, async |refresher| {
        quiet(refresher).await;
        // The store holds the token of the start, then a stale one.
        refresher.token(&template("a")).await.unwrap();
        assert!(store.text().contains(CLIENT_TOKEN));
        store.saves_fail.store(true, Ordering::Relaxed);
        refresher.token(&template("rotates")).await.unwrap_err();
        fapi.timer.sleep(SECOND).await;
        assert_eq!(told.store_failures(), 1);
        assert_eq!(refresher.status(), RefresherStatus::Ready);
        refresher.token(&template("b")).await.unwrap();
        refresher.token(&template("c")).await.unwrap();
        // The next save that goes well makes up for it.
        store.saves_fail.store(false, Ordering::Relaxed);
        refresher.token(&template("d")).await.unwrap();
        assert!(store.text().contains("rotated-0"));
    });
    let sent = fapi.authorizations();
    let sent: Vec<_> = sent.iter().map(|token| token.as_deref().unwrap()).collect();
    let rotated = "rotated-0";
    assert_eq!(
        sent,
        [
            CLIENT_TOKEN,
            CLIENT_TOKEN,
            CLIENT_TOKEN,
            rotated,
            rotated,
            rotated
        ]
    );
}

#[test]
pub(super) fn a_store_with_garbage_is_told_of_and_written_anew() {
    let garbage: [&[u8]; 7] = [
        b"",
        b"\xff\x00\xfe",
        b"{",
        b"[]",
        b"null",
        br#"{"version":2}"#,
        br#"{"client_token":"stale"}"#,
    ];
    for bytes in garbage {
        let fapi = Fapi::new(|_| Answer::Fine);
        let store = Troubled::default();
        store.save(bytes).unwrap();
        let (told, builder) = Told::by(&fapi, fapi.seed().store(store.clone()));
        fapi.with(builder, async |refresher| {
            forced(&fapi, refresher).await.unwrap();
            assert!(told.store_failures() > 0, "{bytes:?}");
            assert!(store.text().contains(CLIENT_TOKEN), "{bytes:?}");
            let failures = told.store_failures();
            refresher.token(&template("a")).await.unwrap();
            assert_eq!(told.store_failures(), failures);
        });
        assert!(
            fapi.authorizations()
                .iter()
                .all(|sent| sent.as_deref() == Some(CLIENT_TOKEN))
        );
    }

    // A state with parts of the wrong kind: what can be read is.
    for part in [
        json!({ "version": 1 }),
        json!({ "version": 1, "client_token": 5, "token": 5, "gate": "x" }),
        json!({ "version": 1, "client_token": "two words", "token": { "jwt": "x" } }),
        json!({ "version": 1, "token": { "jwt": first_jwt("sess_1"), "minted_at_ms": u64::MAX } }),
        json!({ "version": 1, "gate": { "until_ms": 0, "wait_ms": "x" } }),
    ] {
        let fapi = Fapi::new(|_| Answer::Fine);
        let store = Troubled::default();
        store.save(part.to_string().as_bytes()).unwrap();
        fapi.with(fapi.seed().store(store), async |refresher| {
            forced(&fapi, refresher).await.unwrap();
            assert_eq!(fapi.timer.now(), SECOND, "{part}");
        });
    }
}

#[test]
pub(super) fn a_store_that_cannot_be_read_sends_nothing() {
    let fapi = Fapi::new(|_| Answer::Fine);
    let store = Troubled::default();
    store.loads_fail.store(true, Ordering::Relaxed);
    let (told, builder) = Told::by(&fapi, fapi.seed().store(store.clone()));
    fapi.with(builder, async |refresher| {
        let error = refresher.ready().await.unwrap_err();
        assert!(matches!(cause(&error), Cause::Store(_)), "{error}");
        fapi.timer.sleep(600 * SECOND).await;
        assert_eq!(refresher.status(), RefresherStatus::Degraded);
        assert!(told.store_failures() > 1);
        assert_eq!(fapi.calls().len(), 0);
        store.loads_fail.store(false, Ordering::Relaxed);
        fapi.timer.sleep(60 * SECOND).await;
        refresher.get_token().await.unwrap();
    });

    // In the middle: the cached token is served, and the mint is retried.
    let fapi = Fapi::new(|_| Answer::Fine);
    let store = Troubled::default();
    fapi.with(fapi.seed().store(store.clone()), async |refresher| {
        quiet(refresher).await;
        store.loads_fail.store(true, Ordering::Relaxed);
        let request = template("a");
        let mend = async {
            fapi.timer.sleep(5 * SECOND).await;
            assert_eq!(fapi.instants(On::Tokens), []);
            store.loads_fail.store(false, Ordering::Relaxed);
        };
        join(refresher.token(&request), mend).await.0.unwrap();
    });
    assert_eq!(fapi.instants(On::Tokens), [seconds(7.65)]);
}

#[test]
fn a_start_up_in_an_outage_has_the_token_that_the_store_kept() {
    let store = MemoryStore::default();
    let healthy = Arc::new(AtomicBool::new(true));
    let up = Arc::clone(&healthy);
    let fapi = Fapi::new(move |_| {
        if up.load(Ordering::Relaxed) {
            Answer::Fine
        } else {
            Answer::Reject
        }
    });
    let first = fapi.with(fapi.builder().store(store.clone()), async |refresher| {
        refresher.token(&TokenRequest::new().force()).await.unwrap()
    });
    healthy.store(false, Ordering::Relaxed);
    fapi.with(fapi.builder().store(store), async |refresher| {
        refresher.ready().await.unwrap();
        let began = fapi.timer.now();
        let token = refresher.get_token().await.unwrap();
        assert_eq!(fapi.timer.now(), began, "nobody waits for it");
        assert_eq!(token.expose(), first.expose());
        assert_eq!(token.expires_in(), 60 * SECOND - began);
        assert_eq!(refresher.status(), RefresherStatus::Degraded);
    });
}

/// What a store tells of the session outlives a start-up in an outage, whatever that
/// saves; also where the session is named.
#[test]
pub(super) fn e4_the_stored_session_survives_starts_in_an_outage() {
    for named in [false, true] {
        let store = MemoryStore::default();
        let fapi = Fapi::new(|call| match (call.on, call.at.as_secs()) {
            (_, 0..100) => Answer::Fine,
            (On::Client, _) => Answer::Exactly(Response::new(429, "").retry_after(SECOND)),
            (On::Tokens, _) => fails_500(),
        });
        let builder = || {
            let builder = fapi.seed().store(store.clone());
            if named {
                builder.session_id("sess_1")
            } else {
                builder
            }
        };
        fapi.with(builder(), async |refresher| {
            forced(&fapi, refresher).await.unwrap();
        });
        fapi.timer.advance(100 * SECOND);
        for start in 1..4 {
            let before = fapi.instants(On::Tokens).len();
            fapi.with(builder(), async |refresher| {
                refresher.ready().await.unwrap();
                fapi.timer.sleep(10 * SECOND).await;
                assert_eq!(refresher.status(), RefresherStatus::Degraded);
            });
            let mints = fapi.instants(On::Tokens).len();
            assert!(mints > before, "named: {named}, start {start}");
        }
    }
}

/// The same of a token in a store: not even the observer is given it.
#[test]
pub(super) fn e9_an_expired_token_of_a_store_is_never_handed_out() {
    let store = MemoryStore::default();
    let mut fapi = Fapi::new(|_| Answer::Fine);
    fapi.with(fapi.builder().store(store.clone()), async |refresher| {
        forced(&fapi, refresher).await.unwrap();
    });
    let stored = text(&store);
    fapi.client_has_token = false;
    fapi.timer.advance(3600 * SECOND);
    let (told, builder) = Told::by(&fapi, fapi.builder().store(store));
    fapi.with(builder, async |refresher| {
        refresher.get_token().await.unwrap();
        fapi.timer.sleep(60 * SECOND).await;
    });
    assert!(!told.tokens().is_empty());
    for token in told.tokens() {
        assert!(!stored.contains(token.expose()), "{token:?}");
        assert_eq!(token.expires_in(), 60 * SECOND);
    }
}

#[test]
pub(super) fn a_sign_out_clears_the_store() {
    let gone = |store: &Troubled| {
        let text = store.text();
        assert!(
            !text.contains(CLIENT_TOKEN) && !text.contains("eyJ"),
            "{text}"
        );
    };
    // In the middle of a request that rotates the token.
    for at in [1.0, 1.5] {
        let mut fapi = Fapi::tokens_fail_from(Duration::ZERO, |_| {
            let body = json!({ "jwt": first_jwt("sess_1") }).to_string();
            Answer::Exactly(Response::new(200, body).authorization("rotated-secret"))
        });
        fapi.latency = SECOND;
        let store = Troubled::default();
        let (told, builder) = Told::by(&fapi, fapi.seed().store(store.clone()));
        fapi.with(builder, async |refresher| {
            refresher.ready().await.unwrap();
            let request = TokenRequest::new().force();
            let sign_out = async {
                fapi.timer.sleep(seconds(at)).await;
                refresher.sign_out();
            };
            let _ = join(refresher.token(&request), sign_out).await;
            fapi.timer.sleep(60 * SECOND).await;
            gone(&store);
            assert!(!store.text().contains("rotated-secret"), "{}", store.text());
            assert_eq!(told.store_failures(), 0);
        });
    }

    // And where the program ends right after, or the store cannot be had at first.
    for (ends_by_drop, trouble) in [(false, false), (true, false), (false, true)] {
        let fapi = Fapi::new(|_| Answer::Fine);
        let store = Troubled::default();
        let (refresher, driver) = fapi.seed().store(store.clone()).driver();
        fapi.timer.run(async {
            let scenario = async {
                forced(&fapi, &refresher).await.unwrap();
                assert!(store.text().contains(CLIENT_TOKEN));
                store.saves_fail.store(trouble, Ordering::Relaxed);
                refresher.sign_out();
                if trouble {
                    fapi.timer.sleep(SECOND).await;
                    assert!(store.text().contains(CLIENT_TOKEN));
                    store.saves_fail.store(false, Ordering::Relaxed);
                }
                if ends_by_drop {
                    drop(refresher);
                } else {
                    refresher.shutdown().await;
                }
            };
            join(scenario, driver).await;
        });
        gone(&store);
    }
}

/// A confirmed sign-out forgets the session, not the client: it is who signs in again.
#[test]
pub(super) fn a_confirmed_sign_out_forgets_the_stored_session() {
    let fapi = Fapi::new(|call| match call.on {
        _ if call.at < 2 * SECOND => Answer::Fine,
        On::Tokens => fails_401(),
        On::Client => no_session(),
    });
    let store = Troubled::default();
    fapi.with(fapi.seed().store(store.clone()), async |refresher| {
        forced(&fapi, refresher).await.unwrap();
        assert!(store.text().contains("eyJ"));
        fapi.timer.sleep(2 * SECOND).await;
        refresher
            .token(&TokenRequest::new().force())
            .await
            .unwrap_err();
    });
    assert!(!store.text().contains("eyJ"), "{}", store.text());
    assert!(store.text().contains(CLIENT_TOKEN));
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

/// The answer to a start-up's request may come after that has fallen back, after the mint
/// that followed, and while no other request is under way.
#[test]
fn a_sign_out_that_is_told_late_forgets_the_stored_session_too() {
    let store = Troubled::default();
    let healthy = Fapi::new(|_| Answer::Fine);
    healthy.with(healthy.builder().store(store.clone()), async |refresher| {
        forced(&healthy, refresher).await.unwrap();
    });
    let asked = AtomicU32::new(0);
    let fapi = Fapi::new(move |call| match call.on {
        On::Tokens => Answer::Fine,
        On::Client => match asked.fetch_add(1, Ordering::Relaxed) {
            // Does not get through, just before callers wait no longer.
            0 => Answer::Late(seconds(6.95), Box::new(Answer::Reject)),
            // The poller's question; the start-up's own is repeated after it.
            1 => Answer::Late(SECOND, Box::new(fails_500())),
            _ => no_session(),
        },
    });
    let builder = fapi.builder().attempt_timeout(10 * SECOND);
    fapi.with(builder.store(store.clone()), async |refresher| {
        until(&fapi, 7.0).await;
        refresher.get_token().await.unwrap();
        assert_eq!(fapi.timer.now(), seconds(7.0));
        assert!(store.text().contains("eyJ"));
        until(&fapi, 8.5).await;
        assert!(matches!(refresher.status(), RefresherStatus::SignedOut(_)));
        assert!(!store.text().contains("eyJ"), "{}", store.text());
    });
}
