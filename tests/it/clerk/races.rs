//! Orders that fall between two steps of the driver, and what is told at the end.

use std::time::Duration;

use afterbeat::Timer;
use serde_json::json;

use super::fapi::{Answer, Fapi, On, SECOND, client, exactly, jwt, session};

fn of_session(sid: &str, issued: u64) -> String {
    let issued = 1_700_000_000 + issued;
    jwt(&json!({ "sid": sid, "sub": "user_1", "iat": issued, "exp": issued + 60 }))
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
