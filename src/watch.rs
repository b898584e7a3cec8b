//! Who waits for a change of what a lock guards. Wakers are cloned, dropped and woken
//! outside of the lock: they are anybody's code.

use core::{
    mem,
    task::{Context, Poll, Waker},
};
use std::{sync::Arc, vec::Vec};

/// The wakers of those who wait.
#[derive(Default)]
pub(crate) struct Watchers {
    list: Vec<(u64, Waker)>,
    /// How many keys have been given.
    keys: u64,
}

impl Watchers {
    /// From now until the next change `waker` stands under `key`; the first call gives
    /// the key. Returns the waker that stood there.
    pub(crate) fn watch(&mut self, key: &mut Option<u64>, waker: Waker) -> Option<Waker> {
        let key = *key.get_or_insert_with(|| {
            self.keys += 1;
            self.keys
        });
        if let Some((_, registered)) = self.list.iter_mut().find(|(k, _)| *k == key) {
            return Some(mem::replace(registered, waker));
        }
        self.list.push((key, waker));
        None
    }

    /// Forgets one who has given up.
    pub(crate) fn forget(&mut self, key: u64) -> Option<Waker> {
        let at = self.list.iter().position(|(watcher, _)| *watcher == key)?;
        Some(self.list.swap_remove(at).1)
    }

    /// Takes out all, to be woken.
    pub(crate) fn take(&mut self) -> Vec<(u64, Waker)> {
        mem::take(&mut self.list)
    }
}

/// What is watched: it holds its watchers under a lock.
pub(crate) trait Watched {
    fn with_watchers(
        &self,
        change: &mut dyn FnMut(&mut Watchers) -> Option<Waker>,
    ) -> Option<Waker>;
}

/// Waits for a change, and leaves nothing behind when it is dropped.
pub(crate) struct Watch<W: Watched + ?Sized> {
    watched: Arc<W>,
    key: Option<u64>,
}

impl<W: Watched + ?Sized> Watch<W> {
    pub(crate) fn new(watched: Arc<W>) -> Self {
        Self { watched, key: None }
    }

    /// Looks after the waker has been left, so that no change falls in between.
    pub(crate) fn poll<R>(
        &mut self,
        context: &mut Context<'_>,
        look: impl FnOnce(&W) -> Option<R>,
    ) -> Poll<R> {
        let (key, mut waker) = (&mut self.key, Some(context.waker().clone()));
        let mut watch = |watchers: &mut Watchers| watchers.watch(key, waker.take()?);
        drop(self.watched.with_watchers(&mut watch));
        look(&self.watched).map_or(Poll::Pending, Poll::Ready)
    }
}

impl<W: Watched + ?Sized> Drop for Watch<W> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            drop(
                self.watched
                    .with_watchers(&mut |watchers| watchers.forget(key)),
            );
        }
    }
}
