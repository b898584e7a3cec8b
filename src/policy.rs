//! Any policy, as a bound.

use core::future::Future;

use crate::{
    account::Account,
    attempt_timeout::Cutter,
    attempts::Attempts,
    builder::RetryBuilder,
    extras::{ExtrasFor, Running},
    hooks::Predicate,
    retry::Retry,
    seal::Seal,
    timer::{Clock, Timer},
};

/// A policy for an operation whose errors are of type `E`: what a function takes that
/// lets its caller choose how to retry.
///
/// Every usable [`RetryBuilder`] implements it, whatever it was given, and so does
/// `AnyPolicy`. The trait is sealed. A policy whose predicate or
/// observer was written for another error type does not implement it, and the compiler
/// shows both closure signatures.
///
/// The methods are those of [`RetryBuilder`]; see there. A function that spawns asks for
/// [`SendPolicy`].
///
/// # Examples
///
/// A library that accepts any policy:
///
/// ```
/// use afterbeat::{ManualTimer, Policy, RetryBuilder};
///
/// #[derive(Debug, PartialEq)]
/// pub struct Refused(u16);
///
/// pub async fn fetch(policy: impl Policy<Refused>) -> Result<&'static str, Refused> {
///     let mut answers = [Err(Refused(503)), Ok("hello")].into_iter();
///     policy.retry(|| std::future::ready(answers.next().unwrap())).await
/// }
///
/// let timer = ManualTimer::new();
/// let policy = RetryBuilder::with_timer(&timer).max_retries(3);
/// assert_eq!(timer.run(fetch(policy)), Ok("hello"));
///
/// let never = policy.should_retry(|refused: &Refused, _| refused.0 == 429);
/// assert_eq!(timer.run(fetch(never)), Err(Refused(503)));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a retry policy for errors of type `{E}`",
    label = "not a policy for `{E}`",
    note = "`RetryBuilder` and `AnyPolicy` are policies; a predicate is a closure `|err: &{E}, \
            iteration: u32|` that returns a `bool` or a `Decision`, an observer a closure \
            `|event: Event<'_, {E}>|`"
)]
pub trait Policy<E>: Sized {
    /// The timer that it waits by.
    type Timer: Timer;
    /// The predicate.
    type Predicate: Predicate<E>;
    /// What it carries beyond its schedule.
    type Extras: ExtrasFor<E>;

    #[doc(hidden)]
    fn into_builder(self, _: Seal) -> RetryBuilder<Self::Timer, Self::Predicate, Self::Extras>;

    /// Calls `op` until an attempt succeeds or the policy gives up; see
    /// [`RetryBuilder::retry`].
    fn retry<F, Fut, V>(self, op: F) -> Retry<F, Fut, E, Self::Timer, Self::Predicate, Self::Extras>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<V, E>>,
    {
        self.into_builder(Seal).retry(op)
    }

    /// Calls `op` with a context that is lent to each attempt; see
    /// [`RetryBuilder::retry_with`].
    ///
    /// In generic code the future is never known to be `Send`; use
    /// [`attempts`](Self::attempts) in a task that is spawned.
    fn retry_with<C, F, V>(self, context: &mut C, op: F) -> impl Future<Output = Result<V, E>>
    where
        C: ?Sized,
        F: AsyncFnMut(&mut C) -> Result<V, E>,
    {
        self.into_builder(Seal).retry_with(context, op)
    }

    /// Returns a cursor for a loop of the caller's own; see [`RetryBuilder::attempts`].
    fn attempts(self) -> Attempts<E, Self::Timer, Self::Predicate, Self::Extras> {
        self.into_builder(Seal).attempts()
    }

    /// Calls `op` until it succeeds or the policy gives up, blocking the thread; see
    /// [`RetryBuilder::retry_blocking`].
    ///
    /// # Errors
    ///
    /// The last attempt's own error, unchanged.
    #[cfg(feature = "std")]
    fn retry_blocking<F, V>(self, op: F) -> Result<V, E>
    where
        F: FnMut() -> Result<V, E>,
    {
        self.into_builder(Seal).retry_blocking(op)
    }
}

impl<E, T: Timer, P: Predicate<E>, X: ExtrasFor<E>> Policy<E> for RetryBuilder<T, P, X> {
    type Timer = T;
    type Predicate = P;
    type Extras = X;

    fn into_builder(self, _: Seal) -> Self {
        self
    }
}

/// A policy that a spawned task can use: the bound of a generic function that spawns.
///
/// It is every [`Policy`] whose parts are `Send`. The futures of
/// [`retry`](Policy::retry) and of a cursor ([`attempts`](Policy::attempts)) are then
/// `Send` if the operation's are. That of [`retry_with`](Policy::retry_with) is never
/// known to be in generic code.
///
/// # Examples
///
/// ```
/// use afterbeat::{RetryBuilder, SendPolicy};
/// use tokio::task::JoinHandle;
///
/// async fn send() -> Result<u16, u16> { Ok(200) }
///
/// fn send_later(policy: impl SendPolicy<u16> + 'static) -> JoinHandle<Result<u16, u16>> {
///     tokio::spawn(async move { policy.retry(send).await })
/// }
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// assert_eq!(send_later(RetryBuilder::new()).await.unwrap(), Ok(200));
/// # }
/// ```
pub trait SendPolicy<E: Send>:
    Send
    + Policy<
        E,
        Timer: Timer<Instant: Send, Sleep: Send> + Send,
        Predicate: Send,
        Extras: Send
                    + ExtrasFor<
            E,
            Running: Send
                         + Running<
                Seed: Send,
                Begun<<<Self as Policy<E>>::Timer as Clock>::Instant>: Send,
                Account: Account<Kept<E>: Send>,
                Cutter: Cutter<Deadline<<<Self as Policy<E>>::Timer as Timer>::Sleep>: Send>,
            >,
        >,
    >
{
}

// The same bounds once more: a trait can imply them, but not name them.
impl<E: Send, P> SendPolicy<E> for P where
    P: Send
        + Policy<
            E,
            Timer: Timer<Instant: Send, Sleep: Send> + Send,
            Predicate: Send,
            Extras: Send
                        + ExtrasFor<
                E,
                Running: Send
                             + Running<
                    Seed: Send,
                    Begun<<<P as Policy<E>>::Timer as Clock>::Instant>: Send,
                    Account: Account<Kept<E>: Send>,
                    Cutter: Cutter<Deadline<<<P as Policy<E>>::Timer as Timer>::Sleep>: Send>,
                >,
            >,
        >
{
}
