//! Records between two ends that share toy keys.

pub(in crate::tunnel) mod forger;
mod malformed;
mod messages;
mod rounds;
mod updates;

use std::ops::Range;
use std::sync::mpsc::Receiver;

use super::*;
use crate::tunnel::Fault;
use crate::tunnel::http2::Role;
use crate::tunnel::tests::toy::{Asked, Derived};
use forger::Forger;

const KINDS: [(Layer, Suite); 4] = [
    (Layer::Tls13, Suite::Aes128Gcm),
    (Layer::Tls13, Suite::Aes256Gcm),
    (Layer::Tls12, Suite::Aes128Gcm),
    (Layer::Tls12, Suite::Aes256Gcm),
];

/// What one end seals and the other one opens.
struct Wire {
    outgoing: Outgoing,
    sender: Derived,
    incoming: Incoming,
    receiver: Derived,
    /// What the receiver's keys were asked for.
    asked: Receiver<Asked>,
    /// Seals what no sender in order would.
    forger: Forger,
    layer: Layer,
}

impl Wire {
    fn new((layer, suite): (Layer, Suite)) -> Self {
        let (sender, _) = Derived::new(Role::Client, suite);
        let (receiver, asked) = Derived::new(Role::Server, suite);
        Self {
            outgoing: Outgoing::new(layer, sender.secret(Direction::Out), &sender),
            incoming: Incoming::new(layer, receiver.secret(Direction::In), &receiver),
            forger: Forger::new(Role::Client, (layer, suite)),
            sender,
            receiver,
            asked,
            layer,
        }
    }

    fn tls13() -> Self {
        Self::new(KINDS[0])
    }

    fn tls12() -> Self {
        Self::new(KINDS[2])
    }

    /// A record of any kind, padded if it can be.
    fn forge(&mut self, kind: u8, text: &[u8], padding: usize) -> Vec<u8> {
        match self.layer {
            Layer::Tls13 => self.forge_inner(&[text, &[kind], &vec![0; padding]].concat()),
            Layer::Tls12 => self.forger.record(kind, text),
        }
    }

    /// A TLS 1.3 record with this in it, whatever it is.
    fn forge_inner(&mut self, inner: &[u8]) -> Vec<u8> {
        // The type is what comes last.
        let (last, text) = inner.split_last().unwrap();
        self.forger.record(*last, text)
    }

    fn open(&mut self, record: &mut [u8]) -> Result<Opened, Fault> {
        assert_eq!(self.incoming.length(record)?, Some(record.len()));
        self.incoming.open(record, &mut self.receiver)
    }

    #[track_caller]
    fn opens(&mut self, mut record: Vec<u8>, expected: &[u8]) {
        match self.open(&mut record) {
            Ok(Opened::Data(place)) => assert_eq!(piece(&record, place), expected),
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn refuses(&mut self, mut record: Vec<u8>, expected: Alert) {
        match self.open(&mut record) {
            Err(Fault::Tls { alert, what }) => assert_eq!(alert, expected, "{what}"),
            other => panic!("{other:?}"),
        }
    }
}

fn piece(record: &[u8], place: Range<usize>) -> &[u8] {
    &record[place]
}
