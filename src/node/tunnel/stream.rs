//! One stream of a tunnel as a [`Source`] and a [`Sink`].

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::{Buf, Bytes, BytesMut};
use h2::Reason;
use tokio::sync::Notify;

use crate::stream::{Broken, Sink, Source};

/// The two directions of one tunnelled connection.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) source: TunnelSource,
    pub(crate) sink: TunnelSink,
}

/// Whether a tunnel was torn down because the certificate of its peer was revoked: why its streams broke.
#[derive(Debug, Clone, Default)]
pub(super) struct Revoked(Arc<AtomicBool>);

impl Revoked {
    /// Must come before the tunnel is dropped, so that no stream takes it for anything else.
    pub(super) fn set(&self) {
        self.0.store(true, Ordering::Release);
    }

    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// Why a stream broke.
    fn explain(&self, broken: Broken) -> Broken {
        if self.is_set() { Broken::Revoked } else { broken }
    }

    fn of(&self, error: &h2::Error) -> Broken {
        self.explain(broken(error))
    }
}

impl Stream {
    pub(super) fn new(send: h2::SendStream<Payload>, receive: h2::RecvStream, revoked: Revoked) -> Self {
        let sink = TunnelSink { send, unsent: Arc::default(), revoked: revoked.clone() };
        let source = TunnelSource { receive, unreleased: 0, held: BytesMut::new(), over: None, revoked };
        Self { source, sink }
    }
}

/// The receiving direction.
#[derive(Debug)]
pub(crate) struct TunnelSource {
    receive: h2::RecvStream,
    /// Bytes handed out that the peer has not been given window for: it is given when they have been passed on, so
    /// that a slow reader behind us slows the peer down.
    unreleased: usize,
    /// What arrived while the bytes before were being passed on, as one piece. The stream's window bounds it; left in
    /// the library as small frames it would cost many times its size, for which the library ends the whole tunnel.
    held: BytesMut,
    /// How the stream ended, once what is held has been read.
    over: Option<Result<(), Broken>>,
    revoked: Revoked,
}

impl TunnelSource {
    /// Takes the next piece out of the library, or notes how the stream ended.
    async fn take(&mut self) -> Option<Bytes> {
        while self.over.is_none() {
            match self.receive.data().await {
                None => self.over = Some(Ok(())),
                Some(Err(error)) => self.over = Some(Err(self.revoked.of(&error))),
                // An empty frame means nothing.
                Some(Ok(bytes)) if bytes.is_empty() => {}
                Some(Ok(bytes)) => {
                    self.unreleased += bytes.len();
                    return Some(bytes);
                }
            }
        }
        None
    }
}

impl Source for TunnelSource {
    async fn read(&mut self) -> Result<Option<Bytes>, Broken> {
        if self.revoked.is_set() {
            return Err(Broken::Revoked);
        }
        let passed_on = self.unreleased - self.held.len();
        if passed_on > 0 {
            self.unreleased = self.held.len();
            // Fails only for a stream that is over, which needs no window.
            let _ = self.receive.flow_control().release_capacity(passed_on);
        }
        if !self.held.is_empty() {
            return Ok(Some(std::mem::take(&mut self.held).freeze()));
        }
        match self.take().await {
            Some(bytes) => Ok(Some(bytes)),
            None => self.over.clone().unwrap_or(Ok(())).map(|()| None),
        }
    }

    async fn attend(&mut self) -> Broken {
        while let Some(bytes) = self.take().await {
            self.held.extend_from_slice(&bytes);
        }
        // What arrived before the end, or before the break, is still to be passed on.
        std::future::pending().await
    }
}

/// The sending direction.
#[derive(Debug)]
pub(crate) struct TunnelSink {
    send: h2::SendStream<Payload>,
    unsent: Arc<Unsent>,
    revoked: Revoked,
}

/// Pieces that wait in the library for the wire.
#[derive(Debug, Default)]
struct Unsent {
    pieces: AtomicUsize,
    less: Notify,
}

/// Bytes on their way into a tunnel; counted until the library lets go of them.
#[derive(Debug)]
pub(super) struct Payload {
    bytes: Bytes,
    unsent: Arc<Unsent>,
}

impl Payload {
    fn new(bytes: Bytes, unsent: &Arc<Unsent>) -> Self {
        unsent.pieces.fetch_add(1, Ordering::AcqRel);
        Self { bytes, unsent: Arc::clone(unsent) }
    }
}

impl Drop for Payload {
    fn drop(&mut self) {
        self.unsent.pieces.fetch_sub(1, Ordering::AcqRel);
        self.unsent.less.notify_one();
    }
}

impl Buf for Payload {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
    }
}

impl Sink for TunnelSink {
    async fn write(&mut self, mut bytes: Bytes) -> Result<(), Broken> {
        while !bytes.is_empty() {
            self.send.reserve_capacity(bytes.len());
            let room = match poll_fn(|cx| self.send.poll_capacity(cx)).await {
                Some(Ok(room)) => room.min(bytes.len()),
                Some(Err(error)) => return Err(self.revoked.of(&error)),
                None => return Err(self.broken().await),
            };
            if room > 0 {
                let piece = Payload::new(bytes.split_to(room), &self.unsent);
                self.send.send_data(piece, false).map_err(|e| self.revoked.of(&e))?;
            }
        }
        Ok(())
    }

    async fn finish(&mut self) -> Result<(), Broken> {
        let nothing = Payload::new(Bytes::new(), &self.unsent);
        self.send.send_data(nothing, true).map_err(|e| self.revoked.of(&e))
    }

    async fn flush(&mut self) {
        while self.unsent.pieces.load(Ordering::Acquire) > 0 {
            self.unsent.less.notified().await;
        }
    }

    fn reset(&mut self) {
        self.send.send_reset(Reason::CANCEL);
    }

    async fn broken(&mut self) -> Broken {
        match poll_fn(|cx| self.send.poll_reset(cx)).await {
            Ok(reason) => self.revoked.explain(of_reason(reason)),
            Err(error) => self.revoked.of(&error),
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
