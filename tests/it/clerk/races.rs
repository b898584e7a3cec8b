//! Orders that fall between two steps of the driver, and what is told at the end.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use afterbeat::{
    Timer,
    clerk::{MemoryStore, RefresherEvent, RefresherStatus, TokenRequest},
};
use futures_util::future::join;
use serde_json::json;

use super::fapi::{Answer, Fapi, On, SECOND, client, exactly, jwt, session};

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
