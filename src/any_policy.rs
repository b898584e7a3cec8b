//! A policy whose parts are erased.

use core::{
    fmt,
    future::Future,
    ops::Deref,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use std::{boxed::Box, sync::Arc};

#[cfg(feature = "tokio")]
use crate::timer::TokioTimer;
use crate::{
    account::{Account, Payer},
    attempt_timeout::{self, Cutter, CutterFor, Limited, poll_limited},
    budget::RetryBudget,
    builder::RetryBuilder,
    decision::Decision,
    entropy::Entropy,
    event::Event,
    extras::{Carried, MaybeExtras, Running, RunningFor},
    hooks::{Always, Observer, Predicate},
    policy::Policy,
    seal::{Seal, Sealed},
    sequence::Limits,
    timer::{Clock, Timer},
};

/// Any policy for errors of type `E`, in one type that can be named, cloned and shared.
///
/// For a field, a configuration, or a list of policies. It is made by `From` of every
/// policy whose closures are `Clone + Send + Sync + 'static`, and is a [`Policy`] itself,
/// by value and by reference. Every sequence works on its own copy of the closures.
///
/// It allocates once when it is made, and once in a sequence that fails if a closure has
/// state; never for a retry and never in a first-try success. A wait keeps the last
/// error, so a future is `Send` only if `E` is.
///
/// # Examples
///
/// ```
/// use afterbeat::{AnyPolicy, ManualTimer, Policy, RetryBuilder};
///
/// struct Client {
///     policy: AnyPolicy<u16, ManualTimer>,
/// }
///
/// impl Client {
///     async fn get(&self) -> Result<&'static str, u16> {
///         self.policy.clone().retry(|| async { Err(503) }).await
///     }
/// }
///
/// let timer = ManualTimer::new();
/// let policy = RetryBuilder::with_timer(timer.clone())
///     .max_retries(2)
///     .should_retry(|status: &u16, _| *status >= 500);
/// let client = Client { policy: policy.into() };
/// assert_eq!(timer.run(client.get()), Err(503));
/// assert!(client.policy.to_string().ends_with("at most 2 retries\n"));
/// ```
pub struct AnyPolicy<E, #[cfg(feature = "tokio")] T = TokioTimer, #[cfg(not(feature = "tokio"))] T>(
    RetryBuilder<T, Always, AnyExtras<E>>,
);

impl<E, T, P, X> From<RetryBuilder<T, P, X>> for AnyPolicy<E, T>
where
    E: 'static,
    P: Predicate<E> + Clone + Send + Sync + 'static,
    X: MaybeExtras<
            Observer: Observer<E> + Clone + Send + Sync + 'static,
            Budget: Send + Sync + 'static,
            Cutter: CutterFor<E> + Clone + Send + Sync + 'static,
        >,
{
    fn from(policy: RetryBuilder<T, P, X>) -> Self {
        let (policy, predicate, extras) = policy.take_apart();
        let (limits, entropy, observer, budget, cutter) = extras.into_extras().take_apart();
        let limit = cutter.longest();
        let closures = Closures {
            predicate,
            observer,
            cutter,
        };
        let shared = Arc::new(Shared { closures, budget });
        Self(policy.carrying(AnyExtras {
            limits,
            entropy,
            limit,
            shared,
        }))
    }
}

impl<E, T: Timer> Policy<E> for AnyPolicy<E, T> {
    type Timer = T;
    type Predicate = Always;
    type Extras = AnyExtras<E>;

    fn into_builder(self, _: Seal) -> RetryBuilder<T, Always, AnyExtras<E>> {
        self.0
    }
}

impl<E, T: Timer + Clone> Policy<E> for &AnyPolicy<E, T> {
    type Timer = T;
    type Predicate = Always;
    type Extras = AnyExtras<E>;

    fn into_builder(self, _: Seal) -> RetryBuilder<T, Always, AnyExtras<E>> {
        self.0.clone()
    }
}

impl<E, T: Clone> Clone for AnyPolicy<E, T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<E, T> fmt::Debug for AnyPolicy<E, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AnyPolicy").field(&self.0).finish()
    }
}

/// Writes the whole schedule as a table, then the limits; see [`RetryBuilder`].
impl<E, T> fmt::Display for AnyPolicy<E, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What an [`AnyPolicy`] carries.
pub struct AnyExtras<E> {
    limits: Limits,
    entropy: Entropy,
    /// The limit of each attempt.
    limit: Duration,
    shared: Arc<dyn Erased<E>>,
}

impl<E> Clone for AnyExtras<E> {
    fn clone(&self) -> Self {
        Self {
            limits: self.limits,
            entropy: self.entropy,
            limit: self.limit,
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<E> fmt::Debug for AnyExtras<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnyExtras").finish_non_exhaustive()
    }
}

/// What all sequences of a policy share.
trait Erased<E>: Send + Sync {
    /// The closures of one sequence.
    fn open(&self) -> Box<dyn Opened<E>>;
    fn listens(&self) -> bool;
    /// Tells of an event to which no closure's state belongs but what it began with.
    fn tell(&self, event: Event<'_, E>);
    fn budget(&self) -> Option<&RetryBudget>;
}

/// The closures of one sequence.
trait Opened<E>: Send {
    fn decide(&mut self, error: &E, iteration: u32) -> Decision;
    fn tell(&mut self, event: Event<'_, E>);
    fn cut(&mut self) -> Option<E>;
}

struct Shared<C, B> {
    closures: C,
    budget: B,
}

#[derive(Clone)]
struct Closures<P, O, C> {
    predicate: P,
    observer: O,
    cutter: C,
}

impl<E, P, O, B, C> Erased<E> for Shared<Closures<P, O, C>, B>
where
    P: Predicate<E> + Clone + Send + Sync + 'static,
    O: Observer<E> + Clone + Send + Sync + 'static,
    B: Payer + Send + Sync,
    C: CutterFor<E> + Clone + Send + Sync + 'static,
{
    fn open(&self) -> Box<dyn Opened<E>> {
        Box::new(self.closures.clone())
    }

    fn listens(&self) -> bool {
        O::LISTENS
    }

    fn tell(&self, event: Event<'_, E>) {
        self.closures.observer.clone().tell(event, Seal);
    }

    fn budget(&self) -> Option<&RetryBudget> {
        self.budget.budget()
    }
}

impl<E, P, O, C> Opened<E> for Closures<P, O, C>
where
    P: Predicate<E> + Send,
    O: Observer<E> + Send,
    C: CutterFor<E> + Send,
{
    fn decide(&mut self, error: &E, iteration: u32) -> Decision {
        self.predicate.decide(error, iteration, Seal)
    }

    fn tell(&mut self, event: Event<'_, E>) {
        self.observer.tell(event, Seal);
    }

    fn cut(&mut self) -> Option<E> {
        self.cutter.cut()
    }
}

/// The extras of a sequence of an [`AnyPolicy`].
pub struct AnyRunning<E> {
    limits: Limits,
    entropy: Entropy,
    limit: Duration,
    account: AnyAccount<E>,
    shared: Arc<dyn Erased<E>>,
    /// Opened when the sequence first fails.
    opened: Option<Box<dyn Opened<E>>>,
}

impl<E> AnyRunning<E> {
    fn opened(&mut self) -> &mut dyn Opened<E> {
        &mut **self.opened.get_or_insert_with(|| self.shared.open())
    }
}

impl<E> fmt::Debug for AnyRunning<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnyRunning").finish_non_exhaustive()
    }
}

impl<E> Sealed for AnyExtras<E> {}
impl<E> Sealed for AnyRunning<E> {}
impl<E> Sealed for AnyAccount<E> {}

impl<E> Carried for AnyExtras<E> {
    type Running = AnyRunning<E>;

    fn limits(&self) -> Limits {
        self.limits
    }

    fn run(self) -> AnyRunning<E> {
        let budget = self.shared.budget().is_some();
        let account = budget.then(|| Budget(Arc::clone(&self.shared)).open(Seal));
        AnyRunning {
            limits: self.limits,
            entropy: self.entropy,
            limit: self.limit,
            account: AnyAccount(account),
            shared: self.shared,
            opened: None,
        }
    }
}

impl<E> Running for AnyRunning<E> {
    type Account = AnyAccount<E>;
    type Cutter = Self;
    type Begun<I: Copy> = Option<I>;
    type Seed = Entropy;

    fn account(&mut self) -> &mut AnyAccount<E> {
        &mut self.account
    }

    fn cutter(&mut self) -> &mut Self {
        self
    }

    fn limits(&self) -> Limits {
        self.limits
    }

    fn elapsed<T: Clock>(timer: &T, begun: Option<T::Instant>) -> Duration {
        begun.map_or(Duration::ZERO, |begun| timer.elapsed(begun))
    }

    fn draw<T: Clock>(&mut self, clock: &T) -> u64 {
        self.entropy.draw(|| clock.entropy())
    }

    fn seed(&self) -> Entropy {
        self.entropy
    }

    fn reseed(&mut self, seed: Entropy) {
        self.entropy = seed;
    }
}

impl<E> RunningFor<E> for AnyRunning<E> {
    const LISTENS: bool = true;

    fn decide<P: Predicate<E>>(&mut self, _: &mut P, error: &E, iteration: u32) -> Decision {
        self.opened().decide(error, iteration)
    }

    fn begin<T: Clock>(&self, timer: &T) -> Option<T::Instant> {
        let needed = self.shared.listens() || self.limits.max_elapsed < u64::MAX;
        needed.then(|| timer.now())
    }

    fn tell(&mut self, event: Event<'_, E>) {
        match &mut self.opened {
            Some(opened) => opened.tell(event),
            // A first-try success: nothing is opened for it.
            None => self.shared.tell(event),
        }
    }
}

/// The shared budget of an [`AnyPolicy`].
struct Budget<E>(Arc<dyn Erased<E>>);

impl<E> Deref for Budget<E> {
    type Target = RetryBudget;

    fn deref(&self) -> &RetryBudget {
        self.0.budget().expect("made only where there is one")
    }
}

/// The account of a sequence that may have a budget.
pub struct AnyAccount<E>(Option<<Budget<E> as Payer>::Account>);

impl<E> fmt::Debug for AnyAccount<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnyAccount").finish_non_exhaustive()
    }
}

impl<A> Account for AnyAccount<A> {
    const PAYS: bool = true;
    type Kept<E> = Option<E>;

    fn keep<E>(kept: &mut Option<E>, error: E) {
        *kept = Some(error);
    }

    fn is_closed(&self) -> bool {
        self.0.as_ref().is_some_and(Account::is_closed)
    }

    fn pay<E>(&mut self, kept: &mut Option<E>) -> Option<E> {
        if let Some(account) = &mut self.0 {
            return account.pay(kept);
        }
        *kept = None;
        None
    }

    fn withdraw(&mut self) -> bool {
        self.0.as_mut().is_none_or(Account::withdraw)
    }

    fn refusals(&self) -> u32 {
        self.0.as_ref().map_or(0, Account::refusals)
    }

    fn may_ask_again(&self) -> bool {
        self.0.as_ref().is_none_or(Account::may_ask_again)
    }

    fn failed(&mut self) {
        self.0.iter_mut().for_each(Account::failed);
    }

    fn succeeded(&mut self, failures: u32) {
        if let Some(account) = &mut self.0 {
            account.succeeded(failures);
        }
    }

    fn reset(&mut self) {
        self.0.iter_mut().for_each(Account::reset);
    }

    fn abandon(&mut self) {
        self.0.iter_mut().for_each(Account::abandon);
    }
}

impl<E> Cutter for AnyRunning<E> {
    type Deadline<S> = Option<S>;
    type Limited<A: Future, S: Future<Output = ()>> = Limited<A, S>;
    type Ended<R> = Option<R>;

    fn longest(&self) -> Duration {
        self.limit
    }

    fn deadline<T: Timer>(&self, timer: &T) -> Option<T::Sleep> {
        attempt_timeout::deadline(timer, self.limit)
    }

    fn limit<A: Future, S: Future<Output = ()>>(deadline: Option<S>, attempt: A) -> Limited<A, S> {
        Limited { attempt, deadline }
    }

    fn poll<A: Future, S: Future<Output = ()>>(
        attempt: Pin<&mut A>,
        deadline: Pin<&mut Option<S>>,
        context: &mut Context<'_>,
    ) -> Poll<Option<A::Output>> {
        poll_limited(attempt, deadline, context)
    }
}

impl<E> CutterFor<E> for AnyRunning<E> {
    fn result<V>(&mut self, ended: Option<Result<V, E>>) -> Result<V, E> {
        ended.unwrap_or_else(|| {
            let error = self.opened().cut();
            Err(error.expect("only a limit cuts"))
        })
    }

    fn cut(&mut self) -> Option<E> {
        self.opened().cut()
    }
}
