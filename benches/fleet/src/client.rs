//! A process that calls a server, its policy and its budget.

use std::future::Future;

use afterbeat::{Backoff, Decision, Event, RetryBudget, RetryBuilder};

use crate::{
    failure::Failure,
    hint,
    law::{Bucket, Fixed, Growing, Held, Law, Postponing},
    sim::{self, Virtual},
};

/// How a process retries.
#[derive(Clone, Copy)]
pub struct Policy {
    pub law: Law,
    /// How many retries its budget stores.
    pub stored: u32,
    /// How many retries a sequence has.
    pub retries: u32,
    pub backoff: Backoff,
    /// Whether a final answer counts as a success of the server.
    pub credits: bool,
    /// What a prototype makes of a `Retry-After`; the crate has its own rule.
    pub hints: hint::Rule,
}

impl Policy {
    /// The crate's curve, 5 retries, a budget of 10.
    pub fn new(law: Law) -> Self {
        Self {
            law,
            stored: 10,
            retries: 5,
            backoff: Backoff::new(),
            credits: false,
            hints: hint::widened,
        }
    }

    pub fn law(self, law: Law) -> Self {
        Self { law, ..self }
    }

    pub fn stored(self, stored: u32) -> Self {
        Self { stored, ..self }
    }

    pub fn retries(self, retries: u32) -> Self {
        Self { retries, ..self }
    }

    pub fn credits(self, credits: bool) -> Self {
        Self { credits, ..self }
    }
}

enum Budget {
    NoRetries,
    Unlimited,
    Bucket(Bucket),
    Postponing(Box<dyn Postponing>),
    Crate(RetryBudget),
}

pub struct Client {
    policy: Policy,
    budget: Budget,
}

impl Client {
    pub fn new(policy: Policy) -> Self {
        let n = policy.stored;
        let budget = match policy.law {
            Law::NoRetries => Budget::NoRetries,
            Law::Unlimited => Budget::Unlimited,
            Law::Bucket(terms) => Budget::Bucket(Bucket::new(terms, n)),
            Law::Held => Budget::Postponing(Box::new(Held::new(n))),
            Law::Fixed => Budget::Postponing(Box::new(Fixed::new(n))),
            Law::Growing => Budget::Postponing(Box::new(Growing::w(n))),
            Law::Wider => Budget::Postponing(Box::new(Growing::x(n))),
            Law::Crate => Budget::Crate(RetryBudget::new(n)),
        };
        Self { policy, budget }
    }

    /// Calls until it succeeds or the law ends it.
    pub async fn call<F, Fut>(&self, mut call: F) -> Result<(), Failure>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<(), Failure>>,
    {
        let seed = fastrand::u64(..);
        let policy = RetryBuilder::with_timer(Virtual)
            .backoff(self.policy.backoff)
            .max_retries(self.policy.retries)
            .seed(seed);
        let decide = |failure: &Failure, _: u32| failure.decision();
        match &self.budget {
            Budget::NoRetries => call().await,
            Budget::Unlimited => policy.should_retry(decide).retry(call).await,
            Budget::Crate(budget) => {
                let decide = |failure: &Failure, _: u32| {
                    if self.policy.credits && *failure == Failure::Final {
                        budget.credit();
                    }
                    failure.decision()
                };
                policy.should_retry(decide).budget(budget).retry(call).await
            }
            Budget::Postponing(law) => self.postponing(&**law, seed, call).await,
            Budget::Bucket(bucket) => {
                bucket.begun(sim::seconds());
                let policy = policy
                    .should_retry(|failure: &Failure, iteration| {
                        bucket.failed();
                        let last = iteration > self.policy.retries || *failure == Failure::Final;
                        if last || bucket.pay() {
                            failure.decision()
                        } else {
                            Decision::GiveUp
                        }
                    })
                    .observe(|event: Event<'_, Failure>| {
                        if let Event::Succeeded { retries, .. } = event {
                            bucket.succeeded(retries);
                        }
                    });
                policy.retry(call).await
            }
        }
    }

    /// A sequence whose refused retries wait again, written out.
    async fn postponing<F, Fut>(
        &self,
        law: &dyn Postponing,
        seed: u64,
        mut call: F,
    ) -> Result<(), Failure>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<(), Failure>>,
    {
        let backoff = &self.policy.backoff;
        let mut waits = backoff.delays_seeded(seed);
        let (mut used, mut sent) = (0, 0);
        let mut once_refused = false;
        let mut result = call().await;
        while let Err(failure) = result {
            if failure == Failure::Final {
                if self.policy.credits {
                    law.credit();
                }
                return result;
            }
            let mut hint = match failure {
                Failure::RetryAfter(hint) => Some(hint),
                _ => None,
            };
            loop {
                if used == self.policy.retries {
                    return result;
                }
                used += 1;
                let by_curve = waits.next().expect("the waits never end");
                let wait = hint
                    .take()
                    .map(|hint| (self.policy.hints)(backoff, used, hint));
                sim::sleep(wait.unwrap_or(by_curve)).await;
                if law.send(once_refused) {
                    break;
                }
                once_refused = true;
            }
            sent += 1;
            result = call().await;
            law.ended(once_refused, result.is_ok());
        }
        if sent == 0 {
            law.credit();
        } else {
            law.refund(sent);
        }
        result
    }
}
