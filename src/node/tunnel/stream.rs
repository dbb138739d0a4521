//! One stream of a tunnel as a [`Source`] and a [`Sink`].

use std::future::poll_fn;

use bytes::Bytes;
use h2::Reason;

use crate::stream::{Broken, Sink, Source};

/// The two directions of one tunnelled connection.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) source: TunnelSource,
    pub(crate) sink: TunnelSink,
}

impl Stream {
    pub(super) fn new(send: h2::SendStream<Bytes>, receive: h2::RecvStream) -> Self {
        Self { source: TunnelSource { receive, unreleased: 0 }, sink: TunnelSink { send } }
    }
}

/// The receiving direction.
#[derive(Debug)]
pub(crate) struct TunnelSource {
    receive: h2::RecvStream,
    /// Bytes handed out that the peer has not been given window for: it is given when they have been passed on, so
    /// that a slow reader behind us slows the peer down.
    unreleased: usize,
}

/// The sending direction.
#[derive(Debug)]
pub(crate) struct TunnelSink {
    send: h2::SendStream<Bytes>,
}

impl Source for TunnelSource {
    async fn read(&mut self) -> Result<Option<Bytes>, Broken> {
        if self.unreleased > 0 {
            let unreleased = std::mem::take(&mut self.unreleased);
            self.receive.flow_control().release_capacity(unreleased).map_err(|e| broken(&e))?;
        }
        loop {
            match self.receive.data().await {
                None => return Ok(None),
                Some(Err(error)) => return Err(broken(&error)),
                // An empty frame means nothing.
                Some(Ok(bytes)) if bytes.is_empty() => {}
                Some(Ok(bytes)) => {
                    self.unreleased = bytes.len();
                    return Ok(Some(bytes));
                }
            }
        }
    }
}

impl Sink for TunnelSink {
    async fn write(&mut self, mut bytes: Bytes) -> Result<(), Broken> {
        while !bytes.is_empty() {
            self.send.reserve_capacity(bytes.len());
            let room = match poll_fn(|cx| self.send.poll_capacity(cx)).await {
                Some(Ok(room)) => room.min(bytes.len()),
                Some(Err(error)) => return Err(broken(&error)),
                None => return Err(self.broken().await),
            };
            self.send.send_data(bytes.split_to(room), false).map_err(|e| broken(&e))?;
        }
        Ok(())
    }

    async fn finish(&mut self) -> Result<(), Broken> {
        self.send.send_data(Bytes::new(), true).map_err(|e| broken(&e))
    }

    fn reset(&mut self) {
        self.send.send_reset(Reason::CANCEL);
    }

    async fn broken(&mut self) -> Broken {
        match poll_fn(|cx| self.send.poll_reset(cx)).await {
            Ok(reason) => of_reason(reason),
            Err(error) => broken(&error),
        }
    }
}

fn broken(error: &h2::Error) -> Broken {
    match error.reason() {
        Some(reason) if error.is_reset() => of_reason(reason),
        _ => Broken::Lost(error.to_string()),
    }
}

fn of_reason(reason: Reason) -> Broken {
    if reason == Reason::NO_ERROR { Broken::Stopped } else { Broken::Reset }
}
