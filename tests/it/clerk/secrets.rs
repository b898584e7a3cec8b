//! F6: no output holds a secret.

use std::{
    fmt::{Debug, Write},
    sync::{Arc, Mutex},
};

use afterbeat::{
    Timer,
    clerk::{ClientToken, MemoryStore, Response, TokenRequest, TokenStore},
};
use serde_json::json;
use tracing::{
    Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

use super::rig::{
    Answer, CLIENT_TOKEN, Fapi, SECOND, Told, exactly, fails_500, first_jwt, quiet, template,
};

#[test]
fn no_secret_is_shown() {
    let fapi = Fapi::tokens_fail_from(60 * SECOND, |_| fails_500());
    let jwt = fapi.jwt();
    let builder = fapi.seed().last_token(&jwt).unwrap();
    let mut shown = vec![format!("{builder:?}")];
    fapi.with(builder, async |refresher| {
        let token = refresher.get_token().await.unwrap();
        shown.push(format!("{refresher:?} {token:?} {:?}", refresher.poller()));
        refresher.poller().stop();
        fapi.timer.sleep(60 * SECOND).await;
        let error = refresher.get_token().await.unwrap_err();
        shown.push(format!(
            "{error} {error:?} {:?}",
            std::error::Error::source(&error)
        ));
    });
    let token: ClientToken = CLIENT_TOKEN.parse().unwrap();
    let response = Response::new(200, fapi.jwt()).authorization(CLIENT_TOKEN);
    shown.push(format!("{token:?} {response:?} {:?}", fapi.requests()));
    let shown = shown.concat();
    assert!(
        !shown.contains(CLIENT_TOKEN) && !shown.contains(&jwt[20..]),
        "{shown}"
    );
    assert_eq!(fapi.calls()[0].authorization.as_deref(), Some(CLIENT_TOKEN));
}

/// Everything that is written to `tracing` by anyone.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<String>>);

impl Visit for Lines {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        writeln!(self.0.lock().unwrap(), "{field}={value:?}").unwrap();
    }
}

impl Subscriber for Lines {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, span: &span::Attributes<'_>) -> span::Id {
        span.record(&mut self.clone());
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, values: &span::Record<'_>) {
        values.record(&mut self.clone());
    }
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        event.record(&mut self.clone());
    }
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

/// An error as a program shows it: with all that it says of its sources.
fn shown(error: &dyn std::error::Error) -> String {
    let mut shown = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        write!(shown, "{error} {error:?} {error:#?} ").unwrap();
        next = error.source();
    }
    shown
}

#[test]
pub(super) fn f6_no_secret_is_shown_anywhere() {
    const SIGNATURE: &str = "c2lnbmF0dXJl";
    let lines = Lines::default();
    let everything = lines.clone();
    let bad_jwt = format!("{}.{SIGNATURE}", first_jwt("sess_1"));
    // What the API echoes is no name of an error.
    let echo = json!({
        "errors": [{ "code": format!("not a code: {CLIENT_TOKEN}"), "message": CLIENT_TOKEN,
            "long_message": first_jwt("sess_1") }],
        "clerk_trace_id": format!("not an id: {CLIENT_TOKEN}"),
        "meta": { "client": CLIENT_TOKEN },
    });
    let fapi = Fapi::new(move |call| {
        let other = call.url.contains("expired_token=");
        let part = call.url.split('?').next().unwrap().rsplit('/').next();
        match part.unwrap() {
            "client" if call.at < SECOND => Answer::Fine,
            "client" => exactly(500, &echo),
            "tokens" if other => exactly(404, &echo),
            "tokens" => Answer::Fails(422, "missing_expired_token"),
            "malformed" => exactly(200, &json!({ "jwt": bad_jwt })),
            "foreign" => exactly(200, &json!({ "jwt": first_jwt("sess_2") })),
            "rotates" => {
                Answer::Exactly(Response::new(404, "").authorization("Bearer rotated-secret"))
            }
            "panics" => Answer::Panic,
            "rejects" => Answer::Reject,
            _ => exactly(400, &echo),
        }
    });
    let store = MemoryStore::default();
    let builder = fapi.builder().session_minter(false).tag_retries(true);
    let builder = builder.store(store.clone()).max_elapsed(2 * SECOND);
    let (told, builder) = Told::by(&fapi, builder.last_token(&first_jwt("sess_1")).unwrap());
    tracing::subscriber::with_default(lines, || {
        tracing::info!(?builder, ?store, "begins");
        fapi.with(builder, async |refresher| {
            quiet(refresher).await;
            fapi.timer.sleep(SECOND).await;
            let token = refresher.get_token().await.unwrap();
            tracing::info!(?token, claims = ?token.claims(), "has");
            let mut requests: Vec<TokenRequest> = [
                "malformed",
                "foreign",
                "rotates",
                "panics",
                "rejects",
                "else",
            ]
            .map(template)
            .to_vec();
            requests.push(TokenRequest::new().force());
            for request in &requests {
                let error = refresher.token(request).await.unwrap_err();
                tracing::info!(error = shown(&error), ?request, "failed");
                tracing::info!(?refresher, poller = ?refresher.poller(), "still");
                tracing::info!(status = ?refresher.status(), "still");
                tracing::info!(counters = ?refresher.counters(), "still");
            }
            tracing::info!(lock = ?store.try_lock().unwrap(), "holds");
        });
        for event in told.all() {
            tracing::info!(?event, "told");
        }
        for request in fapi.requests() {
            tracing::info!(?request, "sent");
        }
        let response = Response::new(200, first_jwt("sess_1"))
            .authorization(CLIENT_TOKEN)
            .retry_after(SECOND);
        tracing::info!(?response, "got");
        let driver = fapi.builder().driver().1;
        tracing::info!(?driver, "drives");
        let errors: [&dyn std::error::Error; 2] = [
            &format!("{CLIENT_TOKEN}\n")
                .parse::<ClientToken>()
                .unwrap_err(),
            &fapi
                .builder()
                .last_token(&first_jwt("sess_1")[9..])
                .unwrap_err(),
        ];
        for error in errors {
            tracing::info!(error = shown(error), "invalid");
        }
    });
    let urls: Vec<_> = fapi.calls().into_iter().map(|call| call.url).collect();
    assert!(urls.iter().any(|url| url.contains("expired_token=")));
    assert!(
        fapi.authorizations()
            .contains(&Some("rotated-secret".to_owned()))
    );
    let everything = everything.0.lock().unwrap();
    assert!(everything.contains("ClientToken(..)"), "{everything}");
    assert!(everything.contains("StoreLock(..)"), "{everything}");
    let payload = first_jwt("sess_1");
    let payload = payload.split('.').nth(1).unwrap();
    for secret in [CLIENT_TOKEN, "rotated-secret", SIGNATURE, payload] {
        assert!(!everything.contains(secret), "{secret} in {everything}");
    }
}
