//! Where a client's state is kept between runs.

use core::{any::Any, fmt};
use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

/// Keeps a client's state between runs and between the processes of one user.
///
/// The state holds secrets: a store shows it in no `Debug` and no error.
///
/// # Examples
///
/// ```
/// use afterbeat::clerk::{MemoryStore, TokenStore};
///
/// # fn main() -> std::io::Result<()> {
/// let store: Box<dyn TokenStore> = Box::new(MemoryStore::default());
/// if let Some(_lock) = store.try_lock()? {
///     let runs = store.load()?.map_or(0, |state| state[0]);
///     store.save(&[runs + 1])?;
/// }
/// assert_eq!(store.load()?, Some(vec![1]));
/// # Ok(())
/// # }
/// ```
pub trait TokenStore: Send + Sync + 'static {
    /// Takes the lock that is held around each request and its `load` and `save`;
    /// `None` where somebody else holds it, in this process or another.
    ///
    /// # Errors
    ///
    /// Whatever keeps it from being known who holds the lock.
    fn try_lock(&self) -> io::Result<Option<StoreLock>>;

    /// Returns the bytes saved last; none before the first save.
    ///
    /// # Errors
    ///
    /// Whatever keeps them from being read.
    fn load(&self) -> io::Result<Option<Vec<u8>>>;

    /// Replaces the bytes, atomically: whoever loads sees the old or the new ones.
    ///
    /// # Errors
    ///
    /// Whatever keeps the new ones from being there for good. Either the old ones
    /// or the new ones are.
    fn save(&self, state: &[u8]) -> io::Result<()>;
}

/// Holds a store's lock until it is dropped.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use afterbeat::clerk::StoreLock;
///
/// let held = Arc::new("released when it is dropped");
/// let lock = StoreLock::new(held.clone());
/// assert_eq!(Arc::strong_count(&held), 2);
/// drop(lock);
/// assert_eq!(Arc::strong_count(&held), 1);
/// ```
#[must_use = "the lock is released when this is dropped"]
pub struct StoreLock {
    _held: Box<dyn Any + Send>,
}

impl StoreLock {
    /// Wraps what releases the lock when it is dropped.
    pub fn new(held: impl Any + Send) -> Self {
        Self {
            _held: Box::new(held),
        }
    }
}

impl fmt::Debug for StoreLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreLock(..)")
    }
}

/// Keeps the state for as long as the process runs; clones share one state and one
/// lock.
///
/// # Examples
///
/// ```
/// use afterbeat::clerk::{MemoryStore, TokenStore};
///
/// # fn main() -> std::io::Result<()> {
/// let store = MemoryStore::default();
/// store.clone().save(b"a secret")?;
/// assert_eq!(store.load()?.as_deref(), Some(&b"a secret"[..]));
/// assert_eq!(format!("{store:?}"), "MemoryStore(..)");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub struct MemoryStore(Arc<Mutex<Memory>>);

#[derive(Default)]
struct Memory {
    state: Option<Vec<u8>>,
    /// Alive while the lock is held.
    lock: Weak<()>,
}

impl MemoryStore {
    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TokenStore for MemoryStore {
    fn try_lock(&self) -> io::Result<Option<StoreLock>> {
        let mut memory = self.memory();
        if memory.lock.strong_count() > 0 {
            return Ok(None);
        }
        let lock = Arc::new(());
        memory.lock = Arc::downgrade(&lock);
        Ok(Some(StoreLock::new(lock)))
    }

    fn load(&self) -> io::Result<Option<Vec<u8>>> {
        Ok(self.memory().state.clone())
    }

    fn save(&self, state: &[u8]) -> io::Result<()> {
        self.memory().state = Some(state.to_owned());
        Ok(())
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemoryStore(..)")
    }
}
