//! F: what is sent.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use afterbeat::{Timer, clerk::TokenRequest};

use super::rig::{
    Answer, Builder, CLIENT_TOKEN, Call, Fapi, On, SECOND, Told, fails_500, first_jwt, forced,
    over, quiet, session_without_a_token, status, template,
};

/// Method, URL and form of the last request of one call, at 1 s, with a token of 0.
fn sent(builder: impl Fn(Builder) -> Builder, request: &TokenRequest) -> [String; 3] {
    let fapi = Fapi::new(|_| Answer::Fine);
    fapi.with(builder(fapi.seed()), async |refresher| {
        quiet(refresher).await;
        fapi.timer.sleep(SECOND).await;
        refresher.token(request).await.unwrap();
    });
    let calls = fapi.calls();
    let [_client, mint] = &calls[..] else {
        panic!("{calls:?}");
    };
    [
        mint.method.to_owned(),
        mint.url.clone(),
        mint.body.clone().unwrap(),
    ]
}

#[test]
pub(super) fn f1_requests_are_these_bytes() {
    const TOKENS: &str = "https://clerk.example.test/v1/client/sessions/sess_1/tokens";
    const QUERY: &str = "?_is_native=1&__clerk_api_version=2026-05-12";
    let fapi = Fapi::new(|_| Answer::Fine);
    fapi.run(async |refresher| refresher.ready().await.unwrap());
    let client = &fapi.calls()[0];
    let url = format!("https://clerk.example.test/v1/client{QUERY}");
    assert_eq!(
        (client.method, &client.url, &client.body),
        ("GET", &url, &None)
    );

    let new = TokenRequest::new;
    for (request, path, query, body) in [
        (new().force(), "", "&debug=skip_cache", ""),
        (new().personal(), "", "", "organization_id="),
        (new().organization(""), "", "", "organization_id="),
        (new().organization("org_1"), "", "", "organization_id=org_1"),
        (template("hasura"), "/hasura", "", ""),
        // A template's token knows no organization.
        (template("hasura").organization("org_1"), "/hasura", "", ""),
        (
            template("hasura").force(),
            "/hasura",
            "&debug=skip_cache",
            "",
        ),
    ] {
        let url = format!("{TOKENS}{path}{QUERY}{query}");
        let expected = ["POST".to_owned(), url, body.to_owned()];
        assert_eq!(sent(|builder| builder, &request), expected, "{request:?}");
    }

    let previous = format!("token={}", first_jwt("sess_1"));
    for (request, path, query, body) in [
        (
            new().force(),
            "",
            "&debug=skip_cache",
            format!("{previous}&force_origin=true"),
        ),
        (
            new().organization("org_1"),
            "",
            "",
            format!("organization_id=org_1&{previous}"),
        ),
    ] {
        let url = format!("{TOKENS}{path}{QUERY}{query}");
        let minter = |builder: Builder| builder.session_minter(true);
        assert_eq!(sent(minter, &request), ["POST".to_owned(), url, body]);
    }
}

/// A request has no other header of its own; the real one's are looked at in `http.rs`.
#[test]
pub(super) fn f2_a_request_has_one_authorization_the_token_as_it_is() {
    let fapi = Fapi::new(|_| Answer::Fine);
    fapi.run(async |refresher| {
        refresher.token(&TokenRequest::new().force()).await.unwrap();
        refresher.token(&template("hasura")).await.unwrap();
    });
    let requests = fapi.requests();
    assert_eq!(requests.len(), 3);
    for request in requests {
        assert_eq!(request.authorization(), Some(CLIENT_TOKEN));
        let elsewhere = format!("{} {:?}", request.url(), request.body());
        assert!(!elsewhere.contains(CLIENT_TOKEN), "{elsewhere}");
    }
    // Without a client token there is none, rather than an empty one.
    let fapi = Fapi::new(|_| Answer::Fine);
    fapi.with(over(&fapi.timer, fapi.clone()), async |refresher| {
        refresher.ready().await.unwrap();
    });
    assert_eq!(fapi.authorizations(), [None]);
}

#[test]
pub(super) fn f8_a_session_minter_is_given_the_token_before() {
    let fapi = Fapi::new(|_| Answer::Fine);
    let builder = fapi.seed().session_minter(true);
    fapi.with(builder, async |refresher| {
        let second = forced(&fapi, refresher).await.unwrap();
        fapi.timer.sleep(SECOND).await;
        refresher.token(&template("hasura")).await.unwrap();
        // After it has expired, too.
        fapi.timer.sleep(120 * SECOND).await;
        refresher.get_token().await.unwrap();
        let bodies = fapi.calls().into_iter().filter_map(|call| call.body);
        let [first, second] = [&first_jwt("sess_1"), second.expose()];
        let expected = [
            format!("token={first}&force_origin=true"),
            format!("token={second}"),
            format!("token={second}"),
        ];
        assert_eq!(bodies.collect::<Vec<_>>(), expected);
    });
    let forced = |call: &Call| call.url.contains("debug=skip_cache");
    let forced: Vec<_> = fapi.calls().iter().map(forced).collect();
    assert_eq!(forced, [false, true, false, false]);

    // Nothing before it: nothing is sent. Another session's is not its own.
    let mut fapi = Fapi::new(|_| Answer::Fine);
    fapi.client_has_token = false;
    let builder = fapi.seed().session_minter(true);
    let builder = builder.last_token(&first_jwt("sess_2")).unwrap();
    fapi.with(builder, async |refresher| {
        refresher.get_token().await.unwrap();
    });
    assert_eq!(fapi.calls()[1].body.as_deref(), Some(""));
}

/// GETs and POSTs alike: here both are retried.
#[test]
pub(super) fn f9_a_repeated_request_says_its_number_where_that_is_asked_for() {
    let tags = |asked: bool| -> Vec<(On, Option<String>)> {
        let given = AtomicU32::new(0);
        let fapi = Fapi::new(move |_| match given.fetch_add(1, Ordering::Relaxed) {
            0 | 1 => Answer::Reject,
            3 | 4 => fails_500(),
            5 => Answer::Fails(422, "missing_expired_token"),
            _ => Answer::Fine,
        });
        let builder = if asked {
            fapi.seed().tag_retries(true)
        } else {
            fapi.seed()
        };
        fapi.with(builder, async |refresher| {
            forced(&fapi, refresher).await.unwrap();
            refresher.token(&template("hasura")).await.unwrap();
        });
        let tag = |call: Call| {
            let tag = call.url.split_once("&_clerk_retry_attempt=");
            let tag = tag.map(|(_, tag)| tag.to_owned());
            (call.on, tag)
        };
        fapi.calls().into_iter().map(tag).collect()
    };
    let tagged = [
        (On::Client, None),
        (On::Client, Some("1")),
        (On::Client, Some("2")),
        (On::Tokens, None),
        (On::Tokens, Some("1")),
        (On::Tokens, Some("2")),
        // The same attempt, once more with the last token.
        (On::Tokens, Some("2")),
        (On::Tokens, None),
    ];
    let owned = |(on, tag): (On, Option<&str>)| (on, tag.map(str::to_owned));
    assert_eq!(tags(true), tagged.map(owned));
    assert_eq!(tags(false), tagged.map(|(on, _)| (on, None)));
}

#[test]
pub(super) fn d8_a_missing_expired_token_is_sent_at_once() {
    let wants = || Answer::Fails(422, "missing_expired_token");
    let knows = |call: &Call| call.url.contains("expired_token=");

    let fapi = Fapi::tokens_fail_from(Duration::ZERO, move |call| {
        if knows(call) { Answer::Fine } else { wants() }
    });
    let (told, builder) = Told::by(&fapi, fapi.seed());
    fapi.with(builder, async |refresher| {
        forced(&fapi, refresher).await.unwrap();
        assert_eq!(refresher.counters().retries, 0, "within one attempt");
    });
    assert_eq!(fapi.instants(On::Tokens), [SECOND; 2]);
    let query = format!("debug=skip_cache&expired_token={}", first_jwt("sess_1"));
    let urls: Vec<_> = fapi.calls().into_iter().map(|call| call.url).collect();
    assert!(urls[1].ends_with("debug=skip_cache"), "{}", urls[1]);
    assert!(urls[2].ends_with(&query), "{}", urls[2]);
    let shown = format!("{:?} {:?}", told.all(), fapi.requests());
    assert!(!shown.contains(&first_jwt("sess_1")[20..]), "{shown}");

    // Asked for again; and with nothing to send.
    for (known, requests) in [(true, 2), (false, 1)] {
        let fapi = Fapi::new(move |call| match call.on {
            On::Tokens => wants(),
            On::Client if known && call.at < SECOND => Answer::Fine,
            On::Client => session_without_a_token(),
        });
        let (told, builder) = Told::by(&fapi, fapi.seed());
        fapi.with(builder, async |refresher| {
            let error = forced(&fapi, refresher).await.unwrap_err();
            assert_eq!(status(&error), 422);
            let shown = format!("{error} {error:?} {:?}", told.all());
            assert!(!shown.contains(&first_jwt("sess_1")[20..]), "{shown}");
        });
        assert_eq!(fapi.instants(On::Tokens), vec![SECOND; requests]);
    }
}

/// A name goes into a path as one place of it.
#[test]
fn names_are_encoded() {
    let fapi = Fapi::new(|_| Answer::Fine);
    fapi.run(async |refresher| {
        let request = TokenRequest::new().template("a/b?c");
        refresher.token(&request).await.unwrap();
        let request = TokenRequest::new().organization("org 1&x=y");
        refresher.token(&request).await.unwrap();
    });
    let calls = fapi.calls();
    assert!(
        calls[1].url.contains("/tokens/a%2Fb%3Fc?"),
        "{}",
        calls[1].url
    );
    assert_eq!(
        calls[2].body.as_deref(),
        Some("organization_id=org%201%26x%3Dy")
    );
}
