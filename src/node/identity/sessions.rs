//! TLS sessions that may be resumed, kept for one certificate: [`Tickets`] at the client, [`Sessions`] at the server.
//!
//! Both belong to one TLS configuration and go with it, so that a session is never resumed under another certificate,
//! for other expected identities, or after roots or revocation lists have changed. Both start empty, are bounded, and
//! forget what is oldest. Clients keep no sessions of TLS 1.2. Whether a resumed peer is still acceptable is checked after
//! the handshake, by [`super::proof`].

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustls::NamedGroup;
use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::server::StoresServerSessions;
use rustls_pki_types::ServerName;

/// Peers a client keeps tickets of.
const PEERS: usize = 64;

/// Tickets a client keeps of one peer.
const OF_ONE_PEER: usize = 2;

/// Sessions a server keeps.
const SESSIONS: usize = 256;

/// What one client configuration keeps.
#[derive(Debug, Default)]
pub(super) struct Tickets(Mutex<Bounded<ServerName<'static>, OfPeer>>);

#[derive(Debug, Default)]
struct OfPeer {
    tickets: VecDeque<Tls13ClientSessionValue>,
    group: Option<NamedGroup>,
}

/// What one server configuration keeps.
#[derive(Debug, Default)]
pub(super) struct Sessions(Mutex<Bounded<Vec<u8>, Vec<u8>>>);

/// A map that forgets its oldest key when it is full.
#[derive(Debug)]
struct Bounded<K, V> {
    map: HashMap<K, V>,
    order: VecDeque<K>,
}

impl<K, V> Default for Bounded<K, V> {
    fn default() -> Self {
        Self { map: HashMap::new(), order: VecDeque::new() }
    }
}

impl<K: Clone + Eq + std::hash::Hash, V: Default> Bounded<K, V> {
    /// The value of a key, made if need be; the key counts as new only then.
    fn entry(&mut self, key: K, most: usize) -> &mut V {
        if !self.map.contains_key(&key) {
            if self.order.len() >= most
                && let Some(oldest) = self.order.pop_front()
            {
                self.map.remove(&oldest);
            }
            self.order.push_back(key.clone());
        }
        self.map.entry(key).or_default()
    }
}

impl Tickets {
    fn lock(&self) -> MutexGuard<'_, Bounded<ServerName<'static>, OfPeer>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientSessionStore for Tickets {
    fn set_kx_hint(&self, server_name: ServerName<'static>, group: NamedGroup) {
        self.lock().entry(server_name, PEERS).group = Some(group);
    }

    fn kx_hint(&self, server_name: &ServerName<'_>) -> Option<NamedGroup> {
        self.lock().map.get(&server_name.to_owned())?.group
    }

    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, server_name: ServerName<'static>, value: Tls13ClientSessionValue) {
        let mut kept = self.lock();
        let tickets = &mut kept.entry(server_name, PEERS).tickets;
        if tickets.len() == OF_ONE_PEER {
            tickets.pop_front();
        }
        tickets.push_back(value);
    }

    fn take_tls13_ticket(&self, server_name: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.lock().map.get_mut(server_name)?.tickets.pop_back()
    }
}

impl Sessions {
    fn lock(&self) -> MutexGuard<'_, Bounded<Vec<u8>, Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StoresServerSessions for Sessions {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        *self.lock().entry(key, SESSIONS) = value;
        true
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.lock().map.get(key).cloned()
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        // The key stays in the order until it is the oldest: each stands for at most one session.
        self.lock().map.remove(key)
    }

    fn can_cache(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_session_goes_first() {
        let sessions = Sessions::default();
        let key = |number: usize| number.to_be_bytes().to_vec();
        for number in 0..=SESSIONS {
            assert!(sessions.put(key(number), vec![1]));
        }
        assert_eq!(sessions.get(&key(0)), None);
        assert_eq!(sessions.get(&key(1)), Some(vec![1]));
        assert_eq!(sessions.take(&key(1)), Some(vec![1]));
        assert_eq!(sessions.take(&key(1)), None, "a session is taken once");
    }

    #[test]
    fn what_is_kept_stays_bounded_when_sessions_are_taken_as_well() {
        let sessions = Sessions::default();
        for number in 0_usize..SESSIONS * 4 {
            sessions.put(number.to_be_bytes().to_vec(), vec![1]);
            sessions.take(&number.to_be_bytes());
        }
        let kept = sessions.lock();
        assert_eq!((kept.map.len(), kept.order.len()), (0, SESSIONS));
    }

    #[test]
    fn hints_are_per_peer_and_bounded() {
        let tickets = Tickets::default();
        let name = |last: u8| ServerName::IpAddress(std::net::IpAddr::from([10, 0, 0, last]).into());
        for last in 0..=u8::try_from(PEERS).unwrap() {
            tickets.set_kx_hint(name(last), NamedGroup::X25519);
        }
        assert_eq!(tickets.kx_hint(&name(0)), None);
        assert_eq!(tickets.kx_hint(&name(1)), Some(NamedGroup::X25519));
    }
}
