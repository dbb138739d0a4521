//! The tunnels of one pod: shared between connections that may share one ([`Key`]), and never otherwise.
//!
//! A key's first connection brings a tunnel up and everybody who comes meanwhile waits for that one attempt, under
//! its deadline, and shares its result: a dead peer costs each caller one deadline, and callers for other peers
//! nothing. Full tunnels stay in the pool and take streams again when some have ended.

mod through;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::carried::Carried;
use super::client::{Connection, Establish, NotCarried, Place, Tunnel};
use super::{Connect, Error, Key};
use crate::stream::Moved;
use crate::tasks::Tasks;

pub(crate) use through::{Met, Nested};

/// A handle on a pod's tunnels; the tunnels end with the last handle.
#[derive(Clone)]
pub(crate) struct Pool(Arc<Inner>);

struct Inner {
    establish: Establish,
    slots: Mutex<HashMap<Key, Slot>>,
    attempts: Tasks,
    tunnels: Tasks,
}

#[derive(Debug, Default)]
struct Slot {
    tunnels: Vec<Arc<Tunnel>>,
    attempt: Option<Attempt>,
}

/// How far bringing a tunnel up has come.
type Attempt = watch::Receiver<Stage>;

#[derive(Debug)]
enum Stage {
    /// It waits for our own certificate, which is not the peer's fault.
    Preparing,
    /// It dials.
    Dialling,
    /// The peer has taken the connection.
    Connected,
    /// This came of it.
    Settled(Result<(), Error>),
}

/// How often a request that no peer has seen is sent again on another tunnel.
const TRIES: usize = 3;

/// Tunnels to a peer that are opened because the others are busy with bulk.
const MOST_FOR_BULK: usize = 8;

/// A carried connection, and the place it holds on its tunnel.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) carried: Carried,
    /// Kept until the connection is over.
    pub(crate) place: Place,
}

impl Pool {
    pub(crate) fn new(establish: Establish) -> Self {
        let inner = Inner {
            establish,
            slots: Mutex::default(),
            attempts: Tasks::default(),
            tunnels: Tasks::default(),
        };
        Self(Arc::new(inner))
    }

    /// Has a connection carried to `key.peer`, on a tunnel that is up or a new one, which must be up within `patience`. That begins
    /// when there is a certificate to show, and counts for all tunnels that are tried.
    pub(crate) async fn carry(
        &self,
        (key, patience): (&Key, Duration),
        connect: Connect,
        mut connection: Connection,
        moved: &Arc<Moved>,
    ) -> Result<Opened, NotCarried> {
        let connect = Arc::new(connect);
        let mut patience = Patience { length: patience, until: None };
        let mut tries = 1..=TRIES;
        loop {
            let place = match self.place(key, &mut patience).await {
                Ok(place) => place,
                Err(error) => return Err(NotCarried::before_all(error, connection)),
            };
            let last = tries.next() == Some(TRIES);
            match place.carry(&connect, connection, moved).await {
                Ok((carried, _)) => return Ok(Opened { carried, place }),
                Err(NotCarried { again: Some(again), unseen: true, .. }) if !last => connection = again,
                Err(not_carried) => return Err(not_carried),
            }
        }
    }

    /// Ends the tunnels, each when its streams are over and all it had to say was said. Opens no more.
    pub(crate) async fn leave(&self) {
        for slot in self.0.slots().values() {
            slot.tunnels.iter().for_each(|tunnel| tunnel.close());
        }
        self.0.tunnels.finished().await;
    }

    async fn place(&self, key: &Key, patience: &mut Patience) -> Result<Place, Error> {
        // A new tunnel may be full at once, because others were quicker: then there will be another one. A tunnel that has no
        // place for anybody is another matter.
        let mut fruitless = 0;
        while fruitless < TRIES {
            let attempt = match self.place_or_attempt(key) {
                Ok(place) => return Ok(place),
                Err(attempt) => attempt,
            };
            // Better beside bulk than not at all.
            let or_any = |error| self.any_place(key).ok_or(error);
            match patience.wait_for(attempt, key.peer).await {
                Ok(()) if self.has_room_at_all(key) => {}
                Ok(()) => fruitless += 1,
                Err(error) => return or_any(error),
            }
        }
        self.any_place(key).ok_or(Error::Gone { peer: key.peer })
    }

    /// Whether the peer takes streams on some tunnel, be they all taken.
    fn has_room_at_all(&self, key: &Key) -> bool {
        self.0.slots().get(key).is_some_and(|slot| slot.tunnels.iter().any(|tunnel| tunnel.has_room_at_all()))
    }

    /// A place on whatever tunnel there is.
    fn any_place(&self, key: &Key) -> Option<Place> {
        self.0.slots().get(key)?.tunnels.iter().find_map(Tunnel::place)
    }

    /// A place on a tunnel that is up, or the attempt to wait for.
    fn place_or_attempt(&self, key: &Key) -> Result<Place, Attempt> {
        let mut slots = self.0.slots();
        let slot = slots.entry(key.clone()).or_default();
        slot.tunnels.retain(|tunnel| tunnel.is_open());
        if let Some(place) = slot.place() {
            return Ok(place);
        }
        // An attempt that ended without a word must not be waited for again.
        slot.attempt.take_if(|attempt| attempt.has_changed().is_err());
        Err(slot.attempt.get_or_insert_with(|| self.attempt(key.clone())).clone())
    }

    fn attempt(&self, key: Key) -> Attempt {
        let (stage, attempt) = watch::channel(Stage::Preparing);
        let inner = Arc::downgrade(&self.0);
        let establish = self.0.establish.clone();
        self.0.attempts.spawn(async move {
            let result = bring_up(&establish, &key, &stage).await;
            let Some(inner) = inner.upgrade() else { return };
            let result = inner.settle(key, result);
            stage.send_replace(Stage::Settled(result));
        });
        attempt
    }
}

/// How long a connection waits for tunnels, all in all.
struct Patience {
    length: Duration,
    /// Once it has begun.
    until: Option<Instant>,
}

impl Patience {
    /// Waits until an attempt is settled.
    async fn wait_for(&mut self, mut attempt: Attempt, peer: SocketAddr) -> Result<(), Error> {
        let gone = |_| Error::Gone { peer };
        drop(attempt.wait_for(|stage| !matches!(stage, Stage::Preparing)).await.map_err(gone)?);
        let until = *self.until.get_or_insert_with(|| Instant::now() + self.length);
        let settled = attempt.wait_for(|stage| matches!(stage, Stage::Settled(_)));
        if let Ok(settled) = tokio::time::timeout_at(until, settled).await {
            return match &*settled.map_err(gone)? {
                Stage::Settled(Err(error)) => Err(error.clone()),
                Stage::Settled(Ok(())) | Stage::Preparing | Stage::Dialling | Stage::Connected => Ok(()),
            };
        }
        let connected = matches!(&*attempt.borrow(), Stage::Connected);
        Err(Error::OutOfPatience { peer, patience: self.length, connected })
    }
}

/// Brings a tunnel up, and says how far that has come.
async fn bring_up(
    establish: &Establish,
    key: &Key,
    stage: &watch::Sender<Stage>,
) -> Result<(Arc<Tunnel>, impl Future<Output = ()> + Send + use<>), Error> {
    let certificate = establish.certificate(key).await?;
    stage.send_replace(Stage::Dialling);
    establish.tunnel(key, &certificate, &|| drop(stage.send_replace(Stage::Connected))).await
}

impl Slot {
    /// A place on a tunnel that is up. One that is busy with bulk is left alone as long as there are not many of them.
    fn place(&self) -> Option<Place> {
        let quiet = self.tunnels.iter().filter(|tunnel| !tunnel.is_bulk()).find_map(Tunnel::place);
        if quiet.is_some() || self.tunnels.len() < MOST_FOR_BULK {
            return quiet;
        }
        self.tunnels.iter().find_map(Tunnel::place)
    }
}

impl Inner {
    fn slots(&self) -> MutexGuard<'_, HashMap<Key, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a new tunnel into its slot and starts to run it; clears the attempt either way.
    fn settle(
        self: Arc<Self>,
        key: Key,
        result: Result<(Arc<Tunnel>, impl Future<Output = ()> + Send + 'static), Error>,
    ) -> Result<(), Error> {
        let mut slots = self.slots();
        let slot = slots.entry(key.clone()).or_default();
        slot.attempt = None;
        match result {
            Err(error) => {
                if slot.tunnels.is_empty() {
                    slots.remove(&key);
                }
                Err(error)
            }
            Ok((tunnel, drive)) => {
                slot.tunnels.push(tunnel);
                self.tunnels.spawn(forget_after(drive, Arc::downgrade(&self), key));
                Ok(())
            }
        }
    }

    fn forget_closed(&self, key: &Key) {
        let mut slots = self.slots();
        if let Some(slot) = slots.get_mut(key) {
            slot.tunnels.retain(|tunnel| tunnel.is_open());
            if slot.tunnels.is_empty() && slot.attempt.is_none() {
                slots.remove(key);
            }
        }
    }
}

async fn forget_after(drive: impl Future<Output = ()> + Send, inner: Weak<Inner>, key: Key) {
    drive.await;
    if let Some(inner) = inner.upgrade() {
        inner.forget_closed(&key);
    }
}
