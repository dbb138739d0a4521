//! Random policies, workloads and peers, of few values, so that hits and misses are both common.

use std::net::SocketAddr;

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use super::*;

const NAMES: [&str; 4] = ["a", "b", "ab", "ba"];
const ADDRESSES: [&str; 6] = ["10.0.0.1", "10.0.0.2", "10.0.1.1", "fd00::1", "fd00::2", "::ffff:10.0.0.1"];
const BLOCKS: [&str; 8] = [
    "10.0.0.1/32",
    "10.0.0.9/24",
    "10.0.0.0/8",
    "0.0.0.0/0",
    "fd00::/64",
    "fd00::1/127",
    "fd00::1/128",
    "::/0",
];
const PORTS: [u16; 3] = [80, 81, 443];

pub(super) struct Dice(SmallRng);

impl Dice {
    pub(super) fn seeded(seed: u64) -> Self {
        Self(SmallRng::seed_from_u64(seed))
    }

    pub(super) fn case(&mut self) -> Case {
        let policies = (0..self.below(6)).map(|number| self.policy(number)).collect();
        Case { policies, workload: self.workload(), peer: self.peer() }
    }

    fn below(&mut self, limit: usize) -> usize {
        self.0.random_range(0..limit)
    }

    fn one<T: Clone>(&mut self, of: &[T]) -> T {
        of.choose(&mut self.0).unwrap().clone()
    }

    /// Mostly nothing, sometimes one or two.
    fn some<T>(&mut self, mut make: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let count = [0, 0, 0, 0, 0, 1, 2][self.below(7)];
        (0..count).map(|_| make(self)).collect()
    }

    fn list<T>(&mut self, limit: usize, mut make: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.below(limit)).map(|_| make(self)).collect()
    }

    fn text(&mut self) -> StringMatch {
        let part: Arc<str> = self.one(&["a", "b", "ab", "td/ns/a/sa/b", "td/", "/sa/a", ""]).into();
        match self.below(4) {
            0 => StringMatch::Exact(part),
            1 => StringMatch::Prefix(part),
            2 => StringMatch::Suffix(part),
            _ => StringMatch::Presence,
        }
    }

    fn account(&mut self) -> ServiceAccountMatch {
        ServiceAccountMatch { namespace: self.one(&NAMES).into(), service_account: self.one(&NAMES).into() }
    }

    fn block(&mut self) -> ipnet::IpNet {
        self.one(&BLOCKS).parse().unwrap()
    }

    fn a_match(&mut self) -> Match {
        Match {
            namespaces: self.some(Self::text),
            not_namespaces: self.some(Self::text),
            service_accounts: self.some(Self::account),
            not_service_accounts: self.some(Self::account),
            principals: self.some(Self::text),
            not_principals: self.some(Self::text),
            source_ips: self.some(Self::block),
            not_source_ips: self.some(Self::block),
            destination_ips: self.some(Self::block),
            not_destination_ips: self.some(Self::block),
            destination_ports: self.some(|dice| dice.one(&PORTS)),
            not_destination_ports: self.some(|dice| dice.one(&PORTS)),
        }
    }

    fn policy(&mut self, number: usize) -> Policy {
        let rule = |dice: &mut Self| Rule {
            clauses: dice.list(3, |dice| Clause { matches: dice.list(3, Self::a_match) }),
        };
        Policy {
            key: format!("k/{number}").into(),
            name: number.to_string().into(),
            namespace: self.one(&NAMES).into(),
            scope: self.one(&[Scope::Global, Scope::Namespace, Scope::WorkloadSelector]),
            action: self.one(&[Action::Allow, Action::Deny]),
            rules: self.list(3, rule),
            dry_run: self.below(4) == 0,
            unusable: (self.below(15) == 0).then(|| "why".into()),
        }
    }

    fn workload(&mut self) -> Workload {
        // Policies are numbered from 0 to at most 4, so that one reference in seven leads nowhere.
        let references = self.some(|dice| format!("k/{}", dice.below(7)).into());
        let namespace = self.one(&NAMES);
        workload().with(|it| {
            it.namespace = namespace.into();
            it.authorization_policies = references;
        })
    }

    fn peer(&mut self) -> Peer {
        let identity = format!("td/{}/{}", self.one(&NAMES), self.one(&NAMES));
        let identity = if self.below(3) == 0 { WITHOUT } else { &identity };
        let mut address = || SocketAddr::new(self.one(&ADDRESSES).parse().unwrap(), self.one(&PORTS));
        let (source, destination) = (address(), address());
        Peer { source, destination, ..peer(identity, "10.0.0.1:1", "10.0.0.1:1") }
    }
}
