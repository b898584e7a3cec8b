//! What stands for an option that was not set.

/// Placeholder for an option that was not set.
///
/// It stands in the types of [`RetryBuilder`](crate::RetryBuilder),
/// [`Extras`](crate::Extras) and [`PollerBuilder`](crate::PollerBuilder).
#[derive(Clone, Copy, Debug, Default)]
pub struct Unset;
