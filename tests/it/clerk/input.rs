//! What a program gives that is not what it should be.

use afterbeat::clerk::{ClientToken, FrontendApi};
use serde_json::json;

use super::rig::{Answer, Fapi, jwt};

#[test]
fn bad_input_is_refused_with_value_and_rule() {
    let api = |text: &str| text.parse::<FrontendApi>().unwrap_err().to_string();
    for (value, rule) in [
        ("", "is neither an http(s) URL nor a publishable key"),
        (
            "ftp://clerk.example.test",
            "is neither an http(s) URL nor a publishable key",
        ),
        ("https://", "has no host"),
        ("https://:443", "has no host"),
        ("https://a.test:https", "has a port that is not one"),
        ("https://a.test?x=1", "has a host that is not one"),
        ("https://a test", "has a host that is not one"),
        ("https://a%0db", "has a host that is not one"),
        ("https://[::1", "has a host that is not one"),
        ("https://a.test:+80", "has a port that is not one"),
        ("https://a.test:70000", "has a port that is not one"),
        (
            "https://a.test/../x",
            "holds more than an origin and a plain path",
        ),
        (
            "https://a.test//x",
            "holds more than an origin and a plain path",
        ),
        ("pk_live_???", "has a key that is not base64"),
        ("pk_live_Y2xlcms", "has a key that does not end in `$`"),
        ("pk_live_JA", "has no host"),
        ("pk_live_YS9iJA", "has a key that holds more than a host"),
    ] {
        assert_eq!(api(value), format!("`{value}` {rule}"));
    }
    for fine in [
        "https://[::1]:8080",
        "http://127.0.0.1:80/a/b-c/",
        "https://a.test",
    ] {
        let api = fine.parse::<FrontendApi>().unwrap();
        assert_eq!(api.to_string(), fine.trim_end_matches('/'));
    }
    for secret in ["sk_live_abcdef", "https://me:hunter2@a.test"] {
        let error = secret.parse::<FrontendApi>().unwrap_err();
        assert!(
            format!("{error} {error:?}").contains("(not shown)"),
            "{error}"
        );
        assert!(
            !format!("{error} {error:?}").contains(&secret[8..]),
            "{error}"
        );
    }
    for bad in ["", "two words", "line\n", "t\u{f6}ken"] {
        let error = bad.parse::<ClientToken>().unwrap_err();
        let said = "the client token is not one or more characters of visible ASCII";
        assert_eq!(error.to_string(), said);
    }
    let fapi = Fapi::new(|_| Answer::Fine);
    let last = |jwt: &str| fapi.seed().last_token(jwt).unwrap_err().to_string();
    assert_eq!(
        last("secret"),
        "the session token is not three parts with dots between them"
    );
    let endless = jwt(&json!({ "sid": "s", "sub": "u", "iat": 5, "exp": 5 }));
    assert_eq!(
        last(&endless),
        "the session token expires before it was issued"
    );
    let nameless = jwt(&json!({ "sub": "u", "iat": 5, "exp": 9 }));
    assert_eq!(last(&nameless), "the session token has no `sid`");
}
