//! What others ask of the tunnel.

use std::sync::Arc;
use std::task::Context;
use std::time::Instant;

use culvert_core::tunnel::http2::{Code, Fields, StreamId};

use super::leg::{Asked, Carried, Leg};
use super::remains::break_off;
use super::{Driver, Over};
use crate::stream::{Broken, Early, Reset, Side};
use crate::tunnel::inbox::{Carry, Opening, Order, Ticket, Unopened, Why};

impl Driver {
    pub(super) fn take_orders(&mut self, cx: &mut Context<'_>) -> Result<bool, Over> {
        let mut orders = std::mem::take(&mut self.orders);
        self.inbox.take(cx.waker(), &mut orders, &mut self.ready);
        let some = !orders.is_empty();
        for order in orders.drain(..) {
            self.take_order(order)?;
        }
        self.orders = orders;
        Ok(some)
    }

    fn take_order(&mut self, order: Order) -> Result<(), Over> {
        match order {
            Order::Open(opening) => self.open(*opening),
            Order::Accept { stream, fields, carry } => self.accept(stream, &fields, *carry),
            Order::Refuse { stream, status, fields } => {
                self.engine.answer(stream, status, &fields, true);
                self.forget(stream);
            }
            Order::Forget(stream) => {
                self.engine.reset(stream, Code::CANCEL);
                self.forget(stream);
            }
            Order::Abandon(ticket) => self.abandon(ticket),
            Order::Leave => {
                self.engine.leave();
                self.show_capacity();
            }
            Order::Cut => return Err(Over::Cut),
            Order::Revoked => return Err(Over::Revoked),
        }
        Ok(())
    }

    fn open(&mut self, opening: Opening) {
        let Opening { connect, carry, said, answer } = opening;
        let Ok(stream) = self.engine.open(&connect.authority, &connect.fields) else {
            self.show_capacity();
            // Who asked may have gone.
            let _ = answer.send(Err(Unopened { why: Why::Unseen, socket: carry.socket, said, silent: true }));
            return;
        };
        self.engine.expect(Instant::now());
        self.gauge.owes_since(self.engine.http2().owes_since());
        let early = self.engine.http2().takes_early_data();
        let inbox = &self.inbox;
        let slot = self.legs.insert(|slot| Leg::asked(stream, inbox.waker(slot)));
        let asked = Asked { answer, early, waiting: connect.waiting.clone() };
        self.carry(slot, Carried::new(carry, Some(asked), said));
    }

    fn accept(&mut self, stream: StreamId, fields: &Fields, carry: Carry) {
        let Some(slot) = self.legs.slot(stream) else {
            // The peer has taken the stream back meanwhile. Who waited may have gone.
            carry.moved.closed(Side::Client);
            let _ = carry.done.send(Err(Early::Client(Broken::Reset(Reset::Cancelled))));
            return;
        };
        self.engine.answer(stream, 200, fields, false);
        let moved = Arc::clone(&carry.moved);
        self.carry(slot, Carried::new(carry, None, Vec::new()));
        let Some(leg) = self.legs.find(slot) else { return };
        if leg.peer_ended {
            moved.closed(Side::Client);
        }
        if !leg.backlog.is_empty() {
            self.empty(slot);
        } else if leg.peer_ended {
            self.end_application(slot);
        }
    }

    fn carry(&mut self, slot: usize, carried: Carried) {
        self.note_beginning(&carried);
        let Some(leg) = self.legs.find(slot) else { return };
        let listens = carried.may_say() > 0;
        leg.carry(carried);
        if listens {
            leg.look();
        } else {
            self.look_for_a_break(slot);
        }
        self.queue(slot);
    }

    fn forget(&mut self, stream: StreamId) {
        if let Some(slot) = self.legs.slot(stream) {
            self.legs.remove(slot);
        }
    }

    fn abandon(&mut self, ticket: Ticket) {
        if let Some(leg) = self.legs.slot_of_ticket(ticket).and_then(|slot| self.legs.remove(slot)) {
            self.engine.reset(leg.stream, Code::CANCEL);
            if let Some(carried) = &leg.carried {
                self.note_end(carried);
                break_off(&carried.socket);
            }
        }
    }
}
