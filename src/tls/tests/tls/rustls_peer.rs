//! The other end as rustls itself does it.

use std::io::{Read as _, Write as _};
use std::sync::Arc;

use rustls::{ClientConnection, Connection, ServerConnection};

use crate::link::End;
use crate::pki::{Configs, server_name};

/// A connection of rustls, in memory.
pub(crate) struct Peer(pub(crate) Connection);

impl Peer {
    pub(crate) fn client(configs: &Configs) -> Self {
        let config = Arc::new(configs.client.clone());
        Self(Connection::Client(ClientConnection::new(config, server_name()).unwrap()))
    }

    pub(crate) fn server(configs: &Configs) -> Self {
        Self(Connection::Server(ServerConnection::new(Arc::new(configs.server.clone())).unwrap()))
    }

    /// Takes what came, and gives the data in it.
    pub(crate) fn receive(&mut self, mut bytes: &[u8]) -> Vec<u8> {
        let mut data = Vec::new();
        while !bytes.is_empty() {
            self.0.read_tls(&mut bytes).unwrap();
            let state = self.0.process_new_packets().unwrap();
            let start = data.len();
            data.resize(start + state.plaintext_bytes_to_read(), 0);
            self.0.reader().read_exact(&mut data[start..]).unwrap();
        }
        data
    }

    /// Writes some data; gives all there is to send.
    pub(crate) fn send(&mut self, text: &[u8]) -> Vec<u8> {
        self.0.set_buffer_limit(None);
        self.0.writer().write_all(text).unwrap();
        let mut out = Vec::new();
        while self.0.wants_write() {
            self.0.write_tls(&mut out).unwrap();
        }
        out
    }

    /// Moves bytes between `end` and this until neither has any; gives what was said to this.
    pub(crate) fn converse(&mut self, end: &mut End) -> Vec<u8> {
        let mut heard = Vec::new();
        if matches!(self.0, Connection::Server(_)) {
            end.receive(&[]).unwrap();
        }
        loop {
            let out = self.send(&[]);
            if out.is_empty() && end.out.is_empty() {
                return heard;
            }
            end.receive(&out).unwrap();
            heard.extend(self.receive(&std::mem::take(&mut end.out)));
        }
    }
}
