//! The two ends of a connection, as rustls has them, behind one face.

use std::fmt;
use std::sync::Arc;

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, UnbufferedStatus};
use rustls::{ClientConfig, CommonState, Error, ExtractedSecrets, ServerConfig};

use crate::keys::Kernel;

pub(super) enum Side {
    Client(Box<UnbufferedClientConnection>),
    Server(Box<UnbufferedServerConnection>),
}

/// What rustls did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Something; there may be more to do.
    Again,
    /// Nothing: it waits for the peer.
    Waits,
}

impl Side {
    pub(super) fn client(config: Arc<ClientConfig>, name: ServerName<'static>) -> Result<Self, Error> {
        Ok(Self::Client(Box::new(UnbufferedClientConnection::new(config, name)?)))
    }

    pub(super) fn server(config: Arc<ServerConfig>) -> Result<Self, Error> {
        Ok(Self::Server(Box::new(UnbufferedServerConnection::new(config)?)))
    }

    pub(super) fn common(&self) -> &CommonState {
        match self {
            Self::Client(connection) => connection,
            Self::Server(connection) => connection,
        }
    }

    /// Takes one step. The first value says how much of the input's front is needed no more, even when the step failed.
    pub(super) fn step(&mut self, input: &mut [u8], output: &mut Vec<u8>) -> (usize, Result<Step, Error>) {
        match self {
            Self::Client(connection) => take(connection.process_tls_records(input), output),
            Self::Server(connection) => take(connection.process_tls_records(input), output),
        }
    }

    /// After an error: the alert for the peer, if there is one.
    pub(super) fn last_words(&mut self, output: &mut Vec<u8>) {
        // rustls gives what it has queued before it looks at any input, and must not look at the faulty input again.
        while self.common().wants_write() && self.step(&mut [], output).1.is_ok() {}
    }

    pub(super) fn into_kernel(self) -> Result<(ExtractedSecrets, Kernel), Error> {
        match self {
            Self::Client(connection) => connection
                .dangerous_into_kernel_connection()
                .map(|(secrets, kernel)| (secrets, Kernel::Client(kernel))),
            Self::Server(connection) => connection
                .dangerous_into_kernel_connection()
                .map(|(secrets, kernel)| (secrets, Kernel::Server(kernel))),
        }
    }
}

impl fmt::Debug for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client(_) => "Client",
            Self::Server(_) => "Server",
        })
    }
}

fn take<Data>(status: UnbufferedStatus<'_, '_, Data>, output: &mut Vec<u8>) -> (usize, Result<Step, Error>) {
    let UnbufferedStatus { discard, state, .. } = status;
    (discard, state.and_then(|state| act(state, output)))
}

fn act<Data>(state: ConnectionState<'_, '_, Data>, output: &mut Vec<u8>) -> Result<Step, Error> {
    match state {
        ConnectionState::EncodeTlsData(mut data) => encode(&mut data, output).map(|()| Step::Again),
        ConnectionState::TransmitTlsData(data) => {
            data.done();
            Ok(Step::Again)
        }
        ConnectionState::BlockedHandshake | ConnectionState::WriteTraffic(_) => Ok(Step::Waits),
        // None of these is met before the end of a handshake without early data, and then rustls is shown no more.
        ConnectionState::ReadTraffic(_)
        | ConnectionState::ReadEarlyData(_)
        | ConnectionState::PeerClosed
        | ConnectionState::Closed
        | _ => Err(Error::General("application data within a handshake".into())),
    }
}

fn encode<Data>(data: &mut EncodeTlsData<'_, Data>, output: &mut Vec<u8>) -> Result<(), Error> {
    let start = output.len();
    if let Err(EncodeError::InsufficientSize(needed)) = data.encode(&mut []) {
        output.resize(start + needed.required_size, 0);
        data.encode(&mut output[start..]).map_err(|error| Error::General(error.to_string()))?;
    }
    Ok(())
}
