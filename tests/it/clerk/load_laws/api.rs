//! The API of a case, which writes down what it is asked.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use afterbeat::{
    Clock, ManualTimer, Timer,
    clerk::{Request, Response, Transport, TransportError},
};
use serde_json::json;

use super::{
    super::rig::{On, client, jwt, session},
    case::{Case, Mood},
};

/// One request, as the API sees it.
#[derive(Clone, Debug)]
pub struct Sent {
    pub who: usize,
    pub on: On,
    pub key: String,
    pub at: Duration,
    /// When its answer arrived, or it was dropped.
    pub end: Duration,
    pub mood: Mood,
    pub seen: bool,
    pub alive: bool,
}

impl Sent {
    pub fn brings_a_token(&self) -> bool {
        self.seen && self.alive && matches!(self.mood, Mood::Fine | Mood::Slow(_))
    }

    /// Whether this tells that the session is over.
    pub fn signs_out(&self) -> bool {
        let says = match self.mood {
            Mood::Fine | Mood::Slow(_) => !self.alive,
            Mood::Fails(401, _) | Mood::Fails(403, "user_banned") => true,
            _ => false,
        };
        self.seen && self.on == On::Client && says
    }

    pub fn is_passing(&self) -> bool {
        !self.seen || self.mood.is_passing()
    }

    /// What `Retry-After` forbids.
    pub fn gate(&self) -> Option<(Duration, Duration)> {
        match self.mood {
            Mood::Throttles(429 | 503, hint) if self.seen => {
                Some((self.end, self.end + Duration::from_secs(hint)))
            }
            _ => None,
        }
    }
}

pub struct Api {
    pub who: usize,
    pub timer: ManualTimer,
    pub case: Arc<Case>,
    pub log: Arc<Mutex<Vec<Sent>>>,
}

/// Notes when a request has ended, however it ends.
pub struct Ends<'a>(&'a Api, usize);

impl Ends<'_> {
    fn note(&self, change: impl FnOnce(&mut Sent)) {
        change(&mut self.0.log.lock().unwrap()[self.1]);
    }
}

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        let now = self.0.timer.now();
        self.note(|sent| sent.end = now);
    }
}

impl Transport for Api {
    async fn send(&self, request: Request) -> Result<Response, TransportError> {
        let (now, case) = (self.timer.now(), &self.case);
        let (on, moods) = match request.path() {
            "/v1/client" => (On::Client, &case.client),
            _ => (On::Tokens, &case.tokens),
        };
        let mut until = 0;
        let mood = moods.iter().find(|(span, _)| {
            until += span;
            now < Duration::from_secs(until)
        });
        let (_, mood) = *mood.or(moods.last()).unwrap();
        let alive = case.gone.is_none_or(|gone| now < Duration::from_secs(gone));
        let template = request.path().split_once("/tokens/").map(|(_, name)| name);
        let organization = request
            .body()
            .and_then(|body| body.strip_prefix("organization_id="));
        let (ends, turn) = {
            let mut log = self.log.lock().unwrap();
            log.push(Sent {
                who: self.who,
                on,
                key: format!("{template:?} {organization:?}"),
                at: now,
                end: Duration::MAX,
                mood,
                seen: false,
                alive,
            });
            (Ends(self, log.len() - 1), log.len() - 1)
        };
        let latency = match mood {
            Mood::Slow(seconds) => Duration::from_secs(seconds),
            Mood::Hang => std::future::pending().await,
            _ => Duration::from_millis(case.latencies[turn % case.latencies.len()]),
        };
        if !latency.is_zero() {
            self.timer.sleep(latency).await;
        }
        ends.note(|sent| sent.seen = true);
        // The token may be as old as its request.
        let issued = 1_700_000_000 + now.as_secs();
        let token = jwt(&json!({
            "sid": "sess_1",
            "sub": "user_1",
            "iat": issued,
            "exp": issued + case.lifetime,
            "org_id": organization,
            "template": template,
            "issued_ms": now.as_millis() as u64,
        }));
        let error = |status, code| {
            Response::new(status, json!({ "errors": [{ "code": code }] }).to_string())
        };
        match mood {
            Mood::Fine | Mood::Slow(_) if on == On::Client => {
                let sessions = if alive {
                    json!([session(&json!({ "jwt": token }))])
                } else {
                    json!([])
                };
                Ok(Response::new(200, client(&sessions).to_string()))
            }
            Mood::Fine | Mood::Slow(_) if alive => {
                Ok(Response::new(200, json!({ "jwt": token }).to_string()))
            }
            Mood::Fine | Mood::Slow(_) => Ok(error(401, "signed_out")),
            Mood::Fails(status, code) => Ok(error(status, code)),
            Mood::Throttles(status, hint) => {
                Ok(error(status, "slow_down").retry_after(Duration::from_secs(hint)))
            }
            Mood::Reject | Mood::Hang => Err(TransportError::new("connection refused")),
            Mood::Offline => Err(TransportError::new("no route").offline()),
        }
    }
}
