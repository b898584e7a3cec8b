//! G: what is told, and that no real clock is read.

use std::time::{Duration, UNIX_EPOCH};

use afterbeat::{
    Timer,
    clerk::{MemoryStore, RefresherStatus, Response, SessionToken, TokenRequest},
};
use serde_json::{Value, json};

use super::rig::{
    Answer, CLIENT_TOKEN, Fapi, On, SECOND, Told, client, exactly, fails_401, fails_500, first_jwt,
    forced, no_session, quiet, session, template, text, wall_clock,
};

#[test]
pub(super) fn g1_the_status_goes_both_ways_until_it_is_final() {
    let fapi = Fapi::new(|call| match (call.on, call.at.as_secs()) {
        (_, 0..20) => fails_500(),
        (On::Tokens, 100..400 | 800..1100) => fails_500(),
        (On::Tokens, 1500..) => fails_401(),
        (On::Client, 1500..) => no_session(),
        _ => Answer::Fine,
    });
    let (told, builder) = Told::by(&fapi, fapi.seed());
    fapi.with(builder, async |refresher| {
        assert_eq!(refresher.status(), RefresherStatus::Loading);
        let expected = [
            RefresherStatus::Degraded,
            RefresherStatus::Ready,
            RefresherStatus::Degraded,
            RefresherStatus::Ready,
            RefresherStatus::Degraded,
            RefresherStatus::Ready,
        ];
        for status in &expected {
            let reached = refresher.wait_for(|now| now == status).await;
            assert_eq!((&reached, &refresher.status()), (status, status));
        }
        let last = refresher.wait_for(|_| false).await;
        assert!(matches!(last, RefresherStatus::SignedOut(_)), "{last:?}");
        fapi.timer.sleep(3600 * SECOND).await;
        assert_eq!(told.statuses(), [&expected[..], &[last]].concat());
    });

    let fapi = Fapi::new(|_| Answer::Fails(400, "native_api_disabled"));
    let (told, builder) = Told::by(&fapi, fapi.seed());
    fapi.with(builder, async |refresher| {
        let last = refresher.wait_for(|_| false).await;
        assert!(matches!(last, RefresherStatus::Refused(_)), "{last:?}");
        fapi.timer.sleep(3600 * SECOND).await;
        assert_eq!(told.statuses(), [last]);
    });
}

/// A token that the verification brought makes it ready again like any other.
#[test]
pub(super) fn g1_a_token_that_came_with_the_verification_makes_it_ready() {
    let fapi = Fapi::new(|call| match (call.on, call.at.as_secs()) {
        (On::Tokens, 0..100) => fails_500(),
        (On::Tokens, _) => fails_401(),
        (On::Client, _) => Answer::Fine,
    });
    let builder = fapi.seed().max_elapsed(20 * SECOND);
    fapi.with(builder, async |refresher| {
        forced(&fapi, refresher).await.unwrap_err();
        assert_eq!(refresher.status(), RefresherStatus::Degraded);
        fapi.timer.sleep(100 * SECOND).await;
        refresher.get_token().await.unwrap();
        assert_eq!(refresher.status(), RefresherStatus::Ready);
    });
}

#[test]
pub(super) fn g2_only_the_active_token_is_told_of() {
    let fapi = Fapi::new(|_| Answer::Fine);
    let (told, builder) = Told::by(&fapi, fapi.seed());
    fapi.with(builder, async |refresher| {
        quiet(refresher).await;
        fapi.timer.sleep(SECOND).await;
        refresher.token(&template("hasura")).await.unwrap();
        let other = TokenRequest::new().organization("org_1");
        let other = refresher.token(&other).await.unwrap();
        fapi.timer.sleep(SECOND).await;
        assert_eq!(told.tokens().len(), 1, "the one of the start");
        let own = refresher.token(&TokenRequest::new().force()).await.unwrap();
        fapi.timer.sleep(SECOND).await;
        let tokens = told.tokens();
        let tokens: Vec<_> = tokens.iter().map(SessionToken::expose).collect();
        assert_eq!(tokens, [&first_jwt("sess_1"), own.expose()]);
        assert_ne!(own.expose(), other.expose());

        // What becomes the active one is minted for that, and told of.
        refresher.set_organization(Some("org_2"));
        let switched = refresher.get_token().await.unwrap();
        fapi.timer.sleep(SECOND).await;
        assert_eq!(told.tokens().pop().unwrap().expose(), switched.expose());
    });
}

#[test]
pub(super) fn g3_a_token_is_told_of_when_it_is_another_one() {
    let fapi = Fapi::new(|_| Answer::Fine);
    let (told, builder) = Told::by(&fapi, fapi.seed());
    fapi.with(builder, async |refresher| {
        for _ in 0..10 {
            refresher.get_token().await.unwrap();
            fapi.timer.sleep(SECOND).await;
        }
    });
    assert_eq!(told.tokens().len(), 1);

    // The API gives the same one again.
    let same = || exactly(200, &json!({ "jwt": first_jwt("sess_1") }));
    let fapi = Fapi::tokens_fail_from(Duration::ZERO, move |_| same());
    let (told, builder) = Told::by(&fapi, fapi.seed());
    fapi.with(builder, async |refresher| {
        for _ in 0..10 {
            refresher.token(&TokenRequest::new().force()).await.unwrap();
            fapi.timer.sleep(SECOND).await;
        }
    });
    assert_eq!(
        (fapi.instants(On::Tokens).len(), told.tokens().len()),
        (10, 1)
    );
}

/// Four days, twice, to the nanosecond and the byte the same: no real clock is read, nor
/// slept by.
#[test]
pub(super) fn g5_days_pass_in_virtual_time_alone() {
    let run = || {
        let store = MemoryStore::default();
        let fapi = Fapi::new(|call| match call.at.as_secs() % 36_000 {
            30_000..30_600 if call.on == On::Tokens => fails_500(),
            _ => Answer::Fine,
        });
        let (told, builder) = Told::by(&fapi, fapi.builder().store(store.clone()));
        fapi.with(builder.interval(60 * SECOND), async |refresher| {
            fapi.timer.sleep(4 * 86_400 * SECOND).await;
            refresher.get_token().await.unwrap();
        });
        let stored = text(&store);
        let now = wall_clock().duration_since(UNIX_EPOCH).unwrap();
        let minted = serde_json::from_str::<Value>(&stored).unwrap()["token"]["minted_at_ms"]
            .as_u64()
            .unwrap();
        assert!(
            now - Duration::from_millis(minted) < 60 * SECOND,
            "{stored}"
        );
        let instants: Vec<_> = fapi.calls().iter().map(|call| call.at).collect();
        (instants, format!("{:?}", told.all()), stored)
    };
    let once = run();
    assert!(once.0.len() > 4 * 86_400 / 60, "{}", once.0.len());
    assert!(once == run());
}

#[test]
fn only_the_active_token_makes_it_ready() {
    let fapi = Fapi::tokens_fail_from(Duration::ZERO, |call| {
        if call.url.contains("/hasura") || call.body.as_deref() == Some("organization_id=org_1") {
            Answer::Fine
        } else {
            fails_500()
        }
    });
    let (told, builder) = Told::by(&fapi, fapi.seed());
    fapi.with(builder, async |refresher| {
        forced(&fapi, refresher).await.unwrap_err();
        for other in [
            template("hasura"),
            TokenRequest::new().organization("org_1"),
        ] {
            refresher.token(&other).await.unwrap();
            assert_eq!(refresher.status(), RefresherStatus::Degraded);
        }
    });
    let expected = [RefresherStatus::Ready, RefresherStatus::Degraded];
    assert_eq!(told.statuses(), expected);
}

/// As an API does that names it with each answer, rotated or not.
#[test]
fn a_client_token_that_comes_again_is_not_told_again() {
    let fapi = Fapi::new(|call| {
        let body = match call.on {
            On::Tokens => json!({ "jwt": first_jwt("sess_1") }),
            On::Client => client(&json!([session(&Value::Null)])),
        };
        let header = match call.at.as_secs() {
            0..20 => CLIENT_TOKEN,
            _ => "Bearer rotated",
        };
        Answer::Exactly(Response::new(200, body.to_string()).authorization(header))
    });
    let (told, builder) = Told::by(&fapi, fapi.seed());
    fapi.with(builder, async |refresher| {
        quiet(refresher).await;
        for n in 0..10 {
            refresher.token(&template(n.to_string())).await.unwrap();
            fapi.timer.sleep(5 * SECOND).await;
        }
    });
    assert_eq!(told.client_tokens(), [Some("rotated".to_owned())]);
}
