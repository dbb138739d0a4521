//! What is done about a connection of which one direction has ended.

use super::Driver;

impl Driver {
    /// Has an application asked more often whether it is there, once one direction has ended: connection tracking in its namespace
    /// forgets a half-closed connection within a minute in which nothing moves, and with it where the rest would have to go.
    pub(super) fn probe_when_half_closed(&mut self, slot: usize) {
        let (Some(leg), Some(pause)) = (self.legs.find(slot), self.half_closed_probe) else { return };
        let Some(carried) = &leg.carried else { return };
        if carried.sending_over != carried.receiving_over
            && let Some(socket) = carried.socket.tcp()
        {
            // Fails only for what is not a TCP socket.
            let _ = culvert_sys::tcp::probe_every(socket, pause);
        }
    }
}
