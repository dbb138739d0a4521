//! Two ends and the bytes between them.

use std::sync::Arc;

use culvert_core::tunnel::Fault;
use culvert_core::tunnel::record::{Incoming, Keys, Opened, Outgoing};
use culvert_tls::{Agreed, Error, Established, Handshake, Progress};

use crate::pki::{Configs, server_name};

/// A connection after its handshake.
pub(crate) struct Records {
    incoming: Incoming,
    outgoing: Outgoing,
    keys: Box<dyn Keys>,
    /// A record that is not whole.
    partial: Vec<u8>,
    pub(crate) ended: bool,
}

impl Records {
    pub(crate) fn new(established: Established) -> (Self, Agreed, Vec<u8>) {
        let Established { layer, outgoing, incoming, keys, rest, agreed } = established;
        let records = Self {
            incoming: Incoming::new(layer, incoming, &keys),
            outgoing: Outgoing::new(layer, outgoing, &keys),
            keys: Box::new(keys),
            partial: Vec::new(),
            ended: false,
        };
        (records, agreed, rest)
    }

    /// Has what follows the present keys come from somewhere else.
    pub(crate) fn replace_keys(&mut self, keys: impl Keys + 'static) -> Box<dyn Keys> {
        std::mem::replace(&mut self.keys, Box::new(keys))
    }

    /// Seals one record, and the key update before it when it is time.
    pub(crate) fn send(&mut self, text: &[u8]) -> Result<Vec<u8>, Fault> {
        let mut sealed = Vec::new();
        if self.outgoing.wants_update() {
            sealed.resize(self.outgoing.update_length(), 0);
            self.outgoing.update(&mut sealed, &mut *self.keys)?;
        }
        sealed.extend(self.outgoing.application(text));
        Ok(sealed)
    }

    pub(crate) fn change_keys(&mut self) {
        self.outgoing.ask();
    }

    /// Opens what is whole, and gives the data in it.
    pub(crate) fn receive(&mut self, bytes: &[u8]) -> Result<Vec<u8>, Fault> {
        self.partial.extend_from_slice(bytes);
        let mut data = Vec::new();
        while let Some(length) = self.incoming.length(&self.partial)?
            && let Some(record) = self.partial.get_mut(..length)
        {
            match self.incoming.open(record, &mut *self.keys)? {
                Opened::Data(place) => data.extend_from_slice(&record[place]),
                Opened::Nothing => {}
                Opened::WantsUpdate => self.outgoing.ask(),
                Opened::End => self.ended = true,
            }
            self.partial.drain(..length);
        }
        Ok(data)
    }
}

/// What each end says as soon as it can: glued to its last handshake message.
pub(crate) const GREETING: [&[u8]; 3] = [b"good ", b"day ", b"to you"];

/// One end, from the first byte on.
pub(crate) struct End {
    state: State,
    /// What it has to send.
    pub(crate) out: Vec<u8>,
    /// What it was told.
    pub(crate) heard: Vec<u8>,
    /// Turns to have it forget what comes with or after the handshake.
    pub(crate) deaf: bool,
}

enum State {
    Going(Handshake),
    Up(Box<Records>, Agreed),
    Failed,
}

/// Why an end gave up.
#[derive(Debug)]
pub(crate) enum Failure {
    Handshake(Error),
    Record(Fault),
}

impl End {
    pub(crate) fn client(configs: &Configs) -> Self {
        Self::new(Handshake::client(Arc::new(configs.client.clone()), server_name()).unwrap())
    }

    pub(crate) fn server(configs: &Configs) -> Self {
        Self::new(Handshake::server(Arc::new(configs.server.clone())).unwrap())
    }

    fn new(handshake: Handshake) -> Self {
        Self { state: State::Going(handshake), out: Vec::new(), heard: Vec::new(), deaf: false }
    }

    pub(crate) fn receive(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        match std::mem::replace(&mut self.state, State::Failed) {
            State::Going(handshake) => match handshake.receive(bytes, &mut self.out) {
                Ok(Progress::More(handshake)) => self.state = State::Going(handshake),
                Ok(Progress::Done(established)) => return self.come_up(*established),
                Err(error) => return Err(Failure::Handshake(error)),
            },
            State::Up(records, agreed) => {
                self.state = State::Up(records, agreed);
                return self.hear(bytes);
            }
            State::Failed => panic!("an end that had failed was given more"),
        }
        Ok(())
    }

    fn come_up(&mut self, established: Established) -> Result<(), Failure> {
        let (mut records, agreed, rest) = Records::new(established);
        for word in GREETING {
            self.out.extend(records.send(word).map_err(Failure::Record)?);
        }
        self.state = State::Up(Box::new(records), agreed);
        self.hear(&rest)
    }

    fn hear(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        if self.deaf {
            return Ok(());
        }
        let said = self.records().receive(bytes).map_err(Failure::Record)?;
        self.heard.extend(said);
        Ok(())
    }

    pub(crate) fn is_up(&self) -> bool {
        matches!(self.state, State::Up(..))
    }

    pub(crate) fn records(&mut self) -> &mut Records {
        match &mut self.state {
            State::Up(records, _) => records,
            State::Going(_) | State::Failed => panic!("no connection"),
        }
    }

    pub(crate) fn agreed(&self) -> &Agreed {
        match &self.state {
            State::Up(_, agreed) => agreed,
            State::Going(_) | State::Failed => panic!("no connection"),
        }
    }
}

/// Moves bytes between two ends, in pieces of `piece`, until neither has any.
pub(crate) fn converse(client: &mut End, server: &mut End, piece: usize) -> Result<(), Failure> {
    if !client.is_up() {
        client.receive(&[])?;
    }
    while !client.out.is_empty() || !server.out.is_empty() {
        for bytes in std::mem::take(&mut client.out).chunks(piece) {
            server.receive(bytes)?;
        }
        for bytes in std::mem::take(&mut server.out).chunks(piece) {
            client.receive(bytes)?;
        }
    }
    Ok(())
}

/// Two ends that have greeted each other.
pub(crate) fn connect(configs: &Configs, piece: usize) -> (End, End) {
    let (mut client, mut server) = (End::client(configs), End::server(configs));
    converse(&mut client, &mut server, piece).unwrap();
    (client, server)
}
