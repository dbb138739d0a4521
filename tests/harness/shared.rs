//! Something expensive that tests running at the same time share: made by the first, dropped after the last.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// A slot for it, to be kept in a `static`.
pub(crate) struct Shared<T>(Mutex<Slot<T>>);

enum Slot<T> {
    Empty,
    Made(Weak<T>),
    /// Making it failed; trying again in every test would only take longer.
    Failed(String),
}

impl<T> Shared<T> {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(Slot::Empty))
    }

    /// What is in the slot, made now if nobody has it.
    ///
    /// # Panics
    /// When it cannot be made, with the reason, also in later calls.
    pub(crate) fn take<E: fmt::Debug>(&self, make: impl FnOnce() -> Result<T, E>) -> Arc<T> {
        // Held while it is made: whoever comes meanwhile wants the same one.
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*slot {
            Slot::Made(made) => {
                if let Some(made) = made.upgrade() {
                    return made;
                }
            }
            Slot::Failed(why) => panic!("the lab could not be made: {why}"),
            Slot::Empty => {}
        }
        match make() {
            Ok(made) => {
                let made = Arc::new(made);
                *slot = Slot::Made(Arc::downgrade(&made));
                made
            }
            Err(error) => {
                let why = format!("{error:?}");
                *slot = Slot::Failed(why.clone());
                drop(slot);
                panic!("the lab could not be made: {why}");
            }
        }
    }
}
