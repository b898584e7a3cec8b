//! What keeps traits that stand in public bounds from being implemented elsewhere.

/// A trait with this above it is implemented by the crate alone.
pub trait Sealed {}

/// A method that takes this is implemented by the crate alone. For traits that closures
/// implement, which have no room for another trait.
#[derive(Clone, Copy, Debug)]
pub struct Seal;
