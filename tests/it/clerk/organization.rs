//! Which organization is the active one, and whose tokens are told of.

use std::time::Duration;

use afterbeat::{
    Clock, Timer,
    clerk::{SessionToken, TokenRequest},
};
use futures_util::future::join;
use serde_json::{Value, json};

use super::rig::{
    Answer, Fapi, On, SECOND, START, Told, fails_401, fails_500, jwt, mints, template, until,
};

#[test]
pub(super) fn c12_what_comes_for_an_earlier_organization_is_not_told() {
    let mut fapi = Fapi::new(|_| Answer::Fine);
    fapi.latency = 2 * SECOND;
    let (told, builder) = Told::by(&fapi, fapi.seed());
    fapi.with(builder, async |refresher| {
        refresher.ready().await.unwrap();
        until(&fapi, 3.0).await;
        let request = TokenRequest::new().force();
        let switch = async {
            fapi.timer.sleep(SECOND).await;
            refresher.set_organization(Some("org_1"));
        };
        let (earlier, ()) = join(refresher.token(&request), switch).await;
        earlier.unwrap();
        assert_eq!(fapi.timer.now(), 5 * SECOND);
        until(&fapi, 8.0).await;
    });
    let mints = fapi.calls().into_iter().skip(1);
    let mints: Vec<_> = mints.map(|call| (call.at, call.body.unwrap())).collect();
    let expected = [(3, ""), (5, "organization_id=org_1")];
    assert_eq!(
        mints,
        expected.map(|(at, body)| (Duration::from_secs(at), body.to_owned()))
    );
    assert_eq!(
        told.token_instants(),
        [2, 7].map(Duration::from_secs),
        "the client's and the new organization's"
    );
}

/// A client tells which organization was last active on the API's side; what the
/// program has chosen goes before it.
#[test]
pub(super) fn c12_an_organization_that_was_chosen_stays() {
    let fapi = Fapi::tokens_fail_from(Duration::ZERO, |call| {
        if call.url.contains("/hasura") {
            fails_401()
        } else {
            Answer::Fine
        }
    });
    fapi.run(async |refresher| {
        // Before the session is known, and once a verification has told of it again.
        refresher.set_organization(Some("org_1"));
        refresher.get_token().await.unwrap();
        let template = template("hasura");
        refresher.token(&template).await.unwrap_err();
        refresher.token(&TokenRequest::new().force()).await.unwrap();
    });
    let bodies = fapi.calls().into_iter().filter_map(|call| call.body);
    let bodies: Vec<_> = bodies.collect();
    assert_eq!(
        bodies,
        ["organization_id=org_1", "", "organization_id=org_1"]
    );
}

/// The program's choice of an organization outlives what a client says of its last one.
#[test]
fn a_chosen_organization_stays_chosen() {
    let fapi = Fapi::tokens_fail_from(50 * SECOND, |_| fails_401());
    fapi.run(async |refresher| {
        refresher.ready().await.unwrap();
        refresher.set_organization(Some("org_2"));
        fapi.timer.sleep(60 * SECOND).await;
    });
    let calls = fapi.calls();
    let mints = calls.iter().filter(|call| call.on == On::Tokens);
    let bodies: Vec<_> = mints.map(|call| call.body.as_deref().unwrap()).collect();
    assert!(bodies.len() > 2 && fapi.instants(On::Client).len() > 1);
    assert!(
        bodies.iter().all(|body| *body == "organization_id=org_2"),
        "{bodies:?}"
    );
}

/// One that a caller has asked for already, by the organization's name.
#[test]
fn the_cached_token_of_an_organization_that_becomes_the_active_one_is_told_of() {
    let fapi = Fapi::new(|_| Answer::Fine);
    let (told, builder) = Told::by(&fapi, fapi.builder());
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
        let tokens = told.tokens();
        let tokens: Vec<_> = tokens.iter().map(SessionToken::expose).collect();
        assert_eq!(tokens, [own.expose(), other.expose()]);
        // The same again is no news.
        refresher.set_organization(Some("org_1"));
        fapi.timer.sleep(SECOND).await;
        assert_eq!(told.tokens().len(), 2);
    });
}

#[test]
fn an_empty_organization_is_the_personal_account() {
    for (name, value, id) in [
        ("org_id", json!(""), None),
        ("org_id", Value::Null, None),
        ("org_id", json!("org_1"), Some("org_1")),
        ("o", json!({ "id": "" }), None),
        ("o", json!({ "id": "org_1" }), Some("org_1")),
    ] {
        let mut claims = json!({ "sid": "s", "sub": "u", "iat": START, "exp": START + 60 });
        claims[name] = value;
        let last = jwt(&claims);
        let minted = last.clone();
        // The last token alone tells of the session.
        let fapi = Fapi::new(move |call| match call.on {
            On::Client => fails_500(),
            On::Tokens => mints(&minted),
        });
        let builder = fapi.builder().last_token(&last).unwrap();
        fapi.with(builder, async |refresher| {
            let token = refresher.get_token().await.unwrap();
            assert_eq!(token.claims().organization_id(), id, "{last}");
        });
        let body = fapi.calls().into_iter().find_map(|call| call.body);
        let expected = id.map_or(String::new(), |id| format!("organization_id={id}"));
        assert_eq!(body, Some(expected));
    }
}
