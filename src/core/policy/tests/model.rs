//! A naive evaluator, written from the truth table alone, beside the real one under random policies and peers.

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use super::*;

#[derive(Debug, PartialEq, Eq)]
enum Model {
    Allowed,
    Explicit,
    Unusable,
    Unknown,
    NoneAllowed,
}

/// Evaluates by the book: texts are formatted, addresses compared bit by bit, nothing is shared or cut short.
fn expected(policies: &[Policy], workload: &Workload, peer: &Peer) -> Model {
    let applies = |p: &&Policy| match p.scope {
        Scope::Global => true,
        Scope::Namespace => {
            p.namespace == workload.namespace || workload.authorization_policies.contains(&p.key)
        }
        Scope::WorkloadSelector => workload.authorization_policies.contains(&p.key),
    };
    let enforced: Vec<&Policy> = policies.iter().filter(applies).filter(|p| !p.dry_run).collect();
    let hit = |action| enforced.iter().filter(|p| p.action == action && policy_hits(p, peer)).count();
    let unknown = workload.authorization_policies.iter().any(|key| policies.iter().all(|p| p.key != *key));
    let has_allow = enforced.iter().any(|p| p.action == Action::Allow);
    let unusable = enforced.iter().any(|p| p.unusable.is_some());
    if hit(Action::Deny) == 0 && unusable {
        return Model::Unusable;
    }
    match (hit(Action::Deny), unknown, has_allow, hit(Action::Allow)) {
        (1.., ..) => Model::Explicit,
        (0, true, ..) => Model::Unknown,
        (0, false, false, _) | (0, false, true, 1..) => Model::Allowed,
        (0, false, true, 0) => Model::NoneAllowed,
    }
}

fn policy_hits(policy: &Policy, peer: &Peer) -> bool {
    let clause = |clause: &Clause| {
        let hits: Vec<bool> = clause.matches.iter().map(|m| match_hits(m, peer)).collect();
        hits.is_empty() || hits.contains(&true)
    };
    let rules: Vec<bool> =
        policy.rules.iter().map(|rule| !rule.clauses.iter().map(clause).any(|hit| !hit)).collect();
    rules.contains(&true)
}

fn match_hits(m: &Match, peer: &Peer) -> bool {
    if *m == Match::default() {
        return false;
    }
    let id = peer.identity.as_ref();
    let namespace = id.map(|id| id.namespace().to_owned()).unwrap_or_default();
    let principal = id.map(|id| id.to_string().replacen("spiffe://", "", 1));
    let account = id.map(|id| format!("{}/{}", id.namespace(), id.service_account()));
    let is_account =
        |a: &ServiceAccountMatch| account == Some(format!("{}/{}", a.namespace, a.service_account));
    let is_principal = |m: &StringMatch| principal.as_ref().is_some_and(|text| text_hits(m, text));
    let side = |positive: Vec<bool>, negative: Vec<bool>| {
        (positive.is_empty() || positive.contains(&true)) && !negative.contains(&true)
    };
    let texts = |list: &[StringMatch], hits: &dyn Fn(&StringMatch) -> bool| list.iter().map(hits).collect();
    let blocks = |list: &[ipnet::IpNet], ip: IpAddr| list.iter().map(|block| block_hits(block, ip)).collect();
    let ports = |list: &[u16]| list.iter().map(|port| *port == peer.destination.port()).collect();
    let accounts = |list: &[ServiceAccountMatch]| list.iter().map(is_account).collect();
    let is_namespace = |m: &StringMatch| text_hits(m, &namespace);
    side(texts(&m.namespaces, &is_namespace), texts(&m.not_namespaces, &is_namespace))
        && side(texts(&m.principals, &is_principal), texts(&m.not_principals, &is_principal))
        && side(accounts(&m.service_accounts), accounts(&m.not_service_accounts))
        && side(blocks(&m.source_ips, peer.source.ip()), blocks(&m.not_source_ips, peer.source.ip()))
        && side(
            blocks(&m.destination_ips, peer.destination.ip()),
            blocks(&m.not_destination_ips, peer.destination.ip()),
        )
        && side(ports(&m.destination_ports), ports(&m.not_destination_ports))
}

fn text_hits(m: &StringMatch, text: &str) -> bool {
    let (text, part) = match m {
        StringMatch::Presence => return !text.is_empty(),
        StringMatch::Exact(part) => return text.as_bytes() == part.as_bytes(),
        StringMatch::Prefix(part) => (text.as_bytes().to_vec(), part.as_bytes().to_vec()),
        StringMatch::Suffix(part) => {
            (text.bytes().rev().collect::<Vec<_>>(), part.bytes().rev().collect::<Vec<_>>())
        }
    };
    text.len() >= part.len() && text[..part.len()] == part[..]
}

fn block_hits(block: &ipnet::IpNet, ip: IpAddr) -> bool {
    let bits = |ip: IpAddr| match ip.to_canonical() {
        IpAddr::V4(ip) => ip.octets().iter().map(|byte| format!("{byte:08b}")).collect::<String>(),
        IpAddr::V6(ip) => ip.octets().iter().map(|byte| format!("{byte:08b}")).collect::<String>(),
    };
    let (net, ip) = (bits(block.addr()), bits(ip));
    let length = usize::from(block.prefix_len());
    net.len() == ip.len() && net[..length] == ip[..length]
}

/// Few values, so that hits and misses are both common.
const NAMES: [&str; 4] = ["a", "b", "ab", "ba"];
const ADDRESSES: [&str; 6] = ["10.0.0.1", "10.0.0.2", "10.0.1.1", "fd00::1", "fd00::2", "::ffff:10.0.0.1"];
const BLOCKS: [&str; 7] =
    ["10.0.0.1/32", "10.0.0.9/24", "10.0.0.0/8", "0.0.0.0/0", "fd00::/64", "fd00::1/128", "::/0"];
const PORTS: [u16; 3] = [80, 81, 443];

struct Dice(SmallRng);

impl Dice {
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
            dry_run: self.below(5) == 0,
            unusable: (self.below(10) == 0).then(|| "why".into()),
        }
    }

    fn workload(&mut self) -> Workload {
        // Policies are numbered from 0 to at most 3, so that one reference in five leads nowhere.
        let references = self.some(|dice| format!("k/{}", dice.below(5)).into());
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

#[test]
fn the_verdict_is_that_of_the_model() {
    let mut dice = Dice(SmallRng::seed_from_u64(7));
    let mut seen = [0; 6];
    for round in 0..20_000 {
        let policies: Vec<Policy> = (0..dice.below(5)).map(|number| dice.policy(number)).collect();
        let (workload, peer) = (dice.workload(), dice.peer());
        let verdict = judge(&snapshot(policies.clone()), &workload, &peer);
        let (kind, same) = match (&verdict, expected(&policies, &workload, &peer)) {
            (Verdict::Allow { policy: None }, model) => (0, model == Model::Allowed),
            (Verdict::Allow { policy: Some(_) }, model) => (1, model == Model::Allowed),
            (Verdict::Deny(Denial::Explicit { .. }), model) => (2, model == Model::Explicit),
            (Verdict::Deny(Denial::UnknownPolicy { .. }), model) => (3, model == Model::Unknown),
            (Verdict::Deny(Denial::NoneAllowed), model) => (4, model == Model::NoneAllowed),
            (Verdict::Deny(Denial::UnusablePolicy { .. }), model) => (5, model == Model::Unusable),
        };
        assert!(same, "round {round}: {verdict:?}\n{policies:#?}\n{workload:#?}\n{peer:#?}");
        seen[kind] += 1;
    }
    assert!(seen.iter().all(|&count| count > 500), "one kind of verdict is hardly tested: {seen:?}");
}
