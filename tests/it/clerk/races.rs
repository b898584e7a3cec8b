//! Orders that fall between two steps of the driver, and what is told at the end.

use serde_json::json;

use super::fapi::{Answer, Fapi, On, client, exactly, jwt, session};

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
