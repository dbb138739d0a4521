//! How legs end that do not end by themselves: reset by the peer, or with the tunnel.
//!
//! What has come for an application is still its own: it is written within [`LAST_BYTES`], and only then the connection is
//! reset. A stream that has come whole is delivered whole, however long its reader takes.

use std::io;
use std::pin::pin;
use std::time::Duration;

use culvert_core::tunnel::Fault;
use culvert_core::tunnel::http2::{By, Code, Role, StreamId};

use super::evidence::near;
use super::leg::{Asked, Carried, Leg};
use super::remains::{break_off, deliver_last, deliver_whole};
use super::steps::to_application;
use super::{Driver, Over};
use crate::limits::Exceeded;
use crate::stream::{Broken, Early, LAST_BYTES, Loss, Reset};
use crate::tasks::Tasks;
use crate::tunnel::inbox::{Order, Unopened, Why};

/// How long it may take to bring what a buffer of the kernel holds.
const SLOW_NETWORK: Duration = Duration::from_secs(20);

impl Driver {
    /// The peer, or the engine because of the peer, has ended a stream before its time.
    pub(super) fn reset(&mut self, stream: StreamId, code: Code, by: By) {
        let Some(slot) = self.legs.slot(stream) else { return };
        let Some(leg) = self.legs.find(slot) else { return };
        let complete = leg.peer_ended;
        let Some(carried) = &mut leg.carried else {
            self.legs.remove(slot);
            self.take_back(stream);
            return;
        };
        if carried.asked.is_some() {
            let why = match by {
                By::Peer => Why::Broken(format!("the stream was reset ({code})")),
                By::Us => Why::Fault(format!("its answer made no sense ({code})")),
            };
            return self.unopened(stream, why);
        }
        if code == Code::NO_ERROR && complete && !carried.sending_over {
            // It takes no more, and what it sent is complete (RFC 9113 §8.1).
            carried.sending_over = true;
            return self.part_with(slot, None);
        }
        carried.moved.closed(near(self.role).other());
        let reset = match by {
            By::Peer => Reset::by_code(code),
            By::Us => Reset::Fault(code),
        };
        self.part_with(slot, Some(Broken::Reset(reset)));
    }

    /// A stream that was taken back before anybody has heard of it is nobody's business: it costs no task, no report and no line in
    /// the log. The engine counts it, and ends a tunnel with too many of them.
    fn take_back(&mut self, stream: StreamId) {
        if let Some(nth) = self.offers.iter().rposition(|wish| wish.stream == stream) {
            self.offers.remove(nth);
        }
    }

    /// A stream that was asked for will not be.
    pub(super) fn unopened(&mut self, stream: StreamId, why: Why) {
        let Some(slot) = self.legs.slot(stream) else { return };
        let Some(mut carried) = self.legs.remove(slot).and_then(|leg| leg.carried) else { return };
        if let Some(asked) = carried.asked.take() {
            carried.give_back(asked, why);
        }
    }

    fn part_with(&mut self, slot: usize, broken: Option<Broken>) {
        let role = self.role;
        if let Some(leg) = self.legs.remove(slot) {
            if let Some(carried) = &leg.carried {
                self.note_end(carried);
            }
            leg.part(role, broken, &self.parting);
        }
    }

    /// There is no memory for what has come and its application does not take: the stream is broken at both ends, at once, for what is
    /// left with it would have to be kept.
    pub(super) fn no_place(&mut self, slot: usize, exceeded: Exceeded) {
        let Some(mut leg) = self.legs.remove(slot) else { return };
        self.engine.reset(leg.stream, Code::ENHANCE_YOUR_CALM);
        leg.gives_up(exceeded);
        // Nothing comes before an answer has.
        let Some(carried) = leg.carried else { return };
        self.note_end(&carried);
        break_off(&carried.socket);
        // Whoever waited may have gone.
        let _ = carried.done.send(Err(of_application(self.role, Broken::Overfull(exceeded))));
    }

    /// Ends what is left of a tunnel that is over, and tells the peer as far as it should know.
    pub(in crate::tunnel) async fn part(mut self, over: &Over) {
        for order in self.inbox.close() {
            turn_down(order, over);
        }
        let broken = over.broken();
        // TLS 1.3 lets a server judge us after we have begun (RFC 8446 §4.4.2.4).
        let refused = matches!(over, Over::Fault(Fault::Alert(_))) && !self.engine.http2().has_begun();
        for mut leg in self.legs.drain() {
            if let Some(asked) = leg.carried.as_mut().and_then(|carried| carried.asked.take()) {
                leg.give_back(asked, if refused { Why::Alert(over.to_string()) } else { over.unopened() });
                continue;
            }
            let cut = matches!(over, Over::Cut | Over::Revoked);
            if let Some(carried) = &leg.carried {
                if !cut {
                    carried.moved.closed(near(self.role).other());
                }
                self.note_end(carried);
            }
            if cut {
                leg.drop_at_once(self.role, broken.clone());
            } else {
                leg.part(self.role, Some(broken.clone()), &self.parting);
            }
        }
        match over {
            Over::Fault(fault) => self.engine.fail(*fault),
            Over::Lost(_) => {}
            Over::Done | Over::Unused | Over::Cut | Over::Revoked => self.engine.close(),
        }
        if !matches!(over, Over::Lost(_)) {
            // The peer may not read; then it is not told.
            let _ = tokio::time::timeout(over.patience(), self.say_farewell()).await;
        }
        self.rest();
        // What was not said is not said any more.
        drop((self.wire, self.engine, self.output));
        if !matches!(over, Over::Cut | Over::Revoked) {
            self.parting.finished().await;
        }
    }

    /// Writes what is left to say, and waits until the peer has heard it: closing a socket with unread input resets it, and
    /// takes back what was written.
    async fn say_farewell(&mut self) -> io::Result<()> {
        while self.engine.has_output() {
            self.lend();
            let Ok(output) = self.engine.output() else { break };
            if output.is_empty() {
                break;
            }
            let written = self.wire.socket.write(output).await?;
            self.engine.written(written);
        }
        self.take_back_buffer();
        self.wire.socket.shutdown().await?;
        let mut unread = vec![0; 4096];
        loop {
            self.wire.socket.readable().await?;
            match self.wire.socket.try_read(&mut unread) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }
}

fn turn_down(order: Order, over: &Over) {
    if let Order::Open(opening) = order {
        let why = if *over == Over::Revoked { Why::Revoked } else { Why::Unseen };
        // Who asked may have gone.
        let (socket, said) = (opening.carry.socket, opening.said);
        let _ = opening.answer.send(Err(Unopened { why, socket, said, silent: true }));
    }
}

impl Over {
    /// How long the peer may take to hear the rest. When all is in order, the end of a stream may be part of it.
    fn patience(&self) -> Duration {
        match self {
            Self::Done | Self::Unused => SLOW_NETWORK,
            Self::Cut | Self::Revoked | Self::Lost(_) | Self::Fault(_) => LAST_BYTES,
        }
    }

    /// What is said of streams that were asked for and not answered.
    fn unopened(&self) -> Why {
        match self {
            Self::Revoked => Why::Revoked,
            // It says nothing: that is no fault of its HTTP/2.
            Self::Fault(Fault::Dead | Fault::NoPreface) => Why::Broken(self.to_string()),
            Self::Fault(fault) => Why::Fault(fault.to_string()),
            Self::Done | Self::Unused | Self::Cut | Self::Lost(_) => Why::Broken(self.to_string()),
        }
    }

    fn broken(&self) -> Broken {
        match self {
            Self::Revoked => Broken::Revoked,
            Self::Lost(loss) => Broken::Tunnel(loss.clone()),
            Self::Fault(fault @ (Fault::Dead | Fault::NoPreface)) => {
                Broken::Tunnel(Loss::Silent(fault.to_string()))
            }
            Self::Fault(fault) => Broken::Tunnel(Loss::Fault(fault.to_string())),
            Self::Cut => Broken::Tunnel(Loss::Cut),
            Self::Done | Self::Unused => Broken::Tunnel(Loss::Closed),
        }
    }
}

impl std::fmt::Display for Over {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Done => f.write_str("closed"),
            Self::Unused => f.write_str("unused"),
            Self::Cut => Loss::Cut.fmt(f),
            Self::Revoked => Broken::Revoked.fmt(f),
            Self::Lost(loss) => loss.fmt(f),
            Self::Fault(fault) => fault.fmt(f),
        }
    }
}

impl Leg {
    /// Ends the leg; `broken` says what became of the tunnel's side, unless that has ended in order.
    fn part(self: Box<Self>, role: Role, broken: Option<Broken>, parting: &Tasks) {
        let Self { carried, backlog: mut rest, peer_ended, .. } = *self;
        let Some(carried) = carried else { return };
        let broken = broken.unwrap_or(Broken::Reset(Reset::Cancelled));
        let whole = peer_ended && carried.sending_over;
        let Carried { socket, mut done, moved, broken: own, .. } = carried;
        let result = match own {
            Some(own) => Err(of_application(role, own)),
            None if whole => Ok(()),
            None => Err(of_tunnel(role, broken)),
        };
        parting.spawn(async move {
            let count = to_application(role, &moved);
            let rest = rest.whole();
            let mut bring = pin!(async {
                match result {
                    Ok(()) => {
                        let delivered = deliver_whole(&socket, rest, count).await;
                        delivered.map_err(|error| of_application(role, Broken::of(&error)))
                    }
                    Err(early) => {
                        deliver_last(&socket, rest, count).await;
                        Err(early)
                    }
                }
            });
            let brought = tokio::select! {
                result = &mut bring => Some(result),
                // Whoever stood for the connection has been told to stop: a policy, a drain.
                () = done.closed() => None,
            };
            match brought {
                // Whoever waited may have gone.
                Some(result) => drop(done.send(result)),
                None => break_off(&socket),
            }
        });
    }

    fn give_back(self: Box<Self>, asked: Asked, why: Why) {
        if let Some(carried) = self.carried {
            carried.give_back(asked, why);
        }
    }

    fn drop_at_once(self: Box<Self>, role: Role, broken: Broken) {
        let Some(carried) = self.carried else { return };
        break_off(&carried.socket);
        let _ = carried.done.send(Err(of_tunnel(role, broken)));
    }
}

impl Carried {
    /// Gives a connection back to who wanted it carried.
    pub(super) fn give_back(self, asked: Asked, why: Why) {
        let (socket, said, silent) = (self.socket, self.said, self.sent == 0);
        let _ = asked.answer.send(Err(Unopened { why, socket, said, silent }));
    }
}

fn of_tunnel(role: Role, broken: Broken) -> Early {
    Early::of(near(role).other(), broken)
}

fn of_application(role: Role, broken: Broken) -> Early {
    Early::of(near(role), broken)
}
