//! The buffer of what is to be sent: lent to the engine when there is something, taken back when all of it is written. What a peer does
//! not read stays in it for as long as it likes, so that only so many tunnels have a large one ([`Output`](crate::limits::Output)).

use super::Driver;
use crate::buffers;

impl Driver {
    /// Lends the engine a buffer, if it has none: a large one, unless too many have that.
    pub(super) fn lend(&mut self) {
        if self.engine.wants_buffer() {
            let is_large = self.output.takes_large();
            self.engine.lend(if is_large { buffers::borrow() } else { buffers::borrow_small() });
        }
    }

    /// Takes a small buffer back when nothing is in it: the next one may be large.
    pub(super) fn take_back_small(&mut self) {
        if !self.output.is_large() {
            self.take_back_buffer();
        }
    }

    /// Takes the buffer back when nothing is in it.
    pub(super) fn take_back_buffer(&mut self) {
        if let Some(buffer) = self.engine.take_back() {
            buffers::give_back(buffer);
            self.output.is_over();
        }
    }
}
