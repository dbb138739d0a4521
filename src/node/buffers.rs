//! The buffers of the data path: borrowed when there are bytes to move, given back when they have been moved. An idle
//! connection holds none. Who may hold a large one for long is for others to say.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

use culvert_core::tunnel::{BUFFER, SMALL_BUFFER};

/// Buffers kept for the next borrower: enough for what runs at the same time, without holding on to what a burst needed.
const MOST_KEPT: usize = 8;

static KEPT: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

/// A buffer of [`BUFFER`] bytes, whatever is in it.
pub(crate) fn borrow() -> Vec<u8> {
    let kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner).pop();
    kept.unwrap_or_else(|| vec![0; BUFFER])
}

/// A buffer of [`SMALL_BUFFER`] bytes, for who cannot have another.
pub(crate) fn borrow_small() -> Vec<u8> {
    vec![0; SMALL_BUFFER]
}

/// Gives a borrowed buffer back.
pub(crate) fn give_back(buffer: Vec<u8>) {
    debug_assert!([BUFFER, SMALL_BUFFER].contains(&buffer.len()), "it is given back as it was borrowed");
    if buffer.len() < BUFFER {
        return;
    }
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if kept.len() < MOST_KEPT {
        kept.push(buffer);
    }
}

/// A buffer that goes back by itself.
#[derive(Debug)]
pub(crate) struct Borrowed(Vec<u8>);

impl Borrowed {
    pub(crate) fn new() -> Self {
        Self(borrow())
    }
}

impl Deref for Borrowed {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl DerefMut for Borrowed {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        give_back(std::mem::take(&mut self.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_burst_needed_is_not_kept() {
        let burst: Vec<Borrowed> = std::iter::repeat_with(Borrowed::new).take(3 * MOST_KEPT).collect();
        assert!(burst.iter().all(|buffer| buffer.len() == BUFFER));
        drop(burst);
        assert!(KEPT.lock().unwrap().len() <= MOST_KEPT);
    }

    #[test]
    fn who_wants_a_large_one_is_never_given_one_that_is_small() {
        give_back(borrow_small());
        assert!(KEPT.lock().unwrap().iter().all(|kept| kept.len() == BUFFER));
    }
}
