//! The choice as it is meant: a scan over all endpoints for every connection; and random meshes to compare the two in.

use std::net::{IpAddr, SocketAddr};

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use crate::refusal::Refusal;
use crate::route::Newcomer;
use crate::route::Reputation;
use crate::route::balance::{choose, lineup};
use crate::route::reach::{Call, Reach};
use crate::route::tests::call;
use crate::service::{BalanceMode, HealthPolicy, IpFamilies, LoadBalancer, Preference, Service};
use crate::snapshot::Snapshot;
use crate::snapshot::services::Backed;
use crate::store::{Locality, Resource, Store};
use crate::workload::{GatewayAddress, GatewayDestination, Health, Place, PortMap, Workload};

const SERVICE: &str = "n/s";

/// An endpoint and how it would be reached.
type Candidate<'m> = (&'m Workload, Result<Reach<'m>, Refusal>);
type Chosen<'m> = Result<(String, Reach<'m>), Refusal>;

/// Gives the candidates that chance decides between, the best first; the refusal when there is none.
fn tiers<'m>(backed: &'m Backed, call: &Call<'_>) -> Result<Vec<Vec<Candidate<'m>>>, Refusal> {
    let (source, destination) = (call.source, call.destination);
    let service = backed.service();
    let Some(declared) = service.ports.target(destination.port()) else {
        return Err(Refusal::UnknownServicePort { service: backed.key().clone(), destination });
    };
    let (mut reachable, mut others) = (Vec::new(), Vec::new());
    for (workload, ports) in backed.backends() {
        let gateway = workload.network_gateway.is_some() && workload.network != source.network;
        if workload.addresses.is_empty() && workload.hostname.is_empty() && !gateway {
            continue;
        }
        let own = ports.target(destination.port()).unwrap_or_default();
        let port = if own != 0 { own } else { declared };
        if port == 0 {
            continue;
        }
        let reach = call.reach(workload, Some(service), SocketAddr::new(destination.ip(), port));
        let has_a_way = matches!(reach, Ok(_) | Err(Refusal::HostnameNotResolved { .. }));
        (if has_a_way { &mut reachable } else { &mut others }).push((&**workload, reach));
    }
    let tiers = by_preference(reachable, &service.load_balancer, source);
    Ok(if tiers.is_empty() { by_preference(others, &service.load_balancer, source) } else { tiers })
}

fn by_preference<'m>(
    mut all: Vec<Candidate<'m>>,
    balancer: &LoadBalancer,
    source: &Workload,
) -> Vec<Vec<Candidate<'m>>> {
    if all.iter().any(|(it, _)| it.capacity > 0) {
        all.retain(|(it, _)| it.capacity > 0);
    }
    let rank = |it: &Workload| lineup::rank(&balancer.preferences, source, it);
    match balancer.mode {
        BalanceMode::Standard | BalanceMode::Passthrough => {}
        BalanceMode::Strict => {
            all.retain(|(it, _)| balancer.preferences.iter().all(|&by| lineup::rank(&[by], source, it) == 1))
        }
        BalanceMode::Failover => {
            let mut tiers = Vec::new();
            for wanted in (0..=2 * balancer.preferences.len()).rev() {
                tiers.push(all.iter().filter(|(it, _)| rank(it) == wanted).cloned().collect::<Vec<_>>());
            }
            tiers.retain(|tier| !tier.is_empty());
            return tiers;
        }
    }
    if all.is_empty() { Vec::new() } else { vec![all] }
}

/// Gives what is chosen when nothing speaks against any endpoint.
fn scan<'m>(backed: &'m Backed, call: &Call<'_>) -> Chosen<'m> {
    let (destination, entropy) = (call.destination, call.entropy);
    let tiers = tiers(backed, call)?;
    let Some(best) = tiers.into_iter().next() else {
        return Err(Refusal::NoEndpoint { service: backed.key().clone(), destination, known: backed.len() });
    };
    let total: u64 = best.iter().map(|(it, _)| u64::from(it.capacity)).sum();
    let weight = |it: &Workload| if total == 0 { 1 } else { u64::from(it.capacity) };
    let mut left = entropy % best.iter().map(|(it, _)| weight(it)).sum::<u64>();
    for (workload, to) in best {
        if left < weight(workload) {
            return Ok((workload.uid.to_string(), to?));
        }
        left -= weight(workload);
    }
    unreachable!("what is left of the entropy is smaller than all weights")
}

/// Gives the uids among which chance decides, given what is known of them.
fn eligible(
    tiers: &[Vec<Candidate<'_>>],
    known: impl Fn(&Workload, SocketAddr) -> Reputation,
) -> Vec<String> {
    let known = |(it, reach): &Candidate<'_>| match reach {
        Ok(Reach::At(to)) => known(it, *to),
        Ok(Reach::Through(_)) | Err(Refusal::HostnameNotResolved { .. }) => Reputation::Good,
        Err(_) => Reputation::NoWay,
    };
    let first = |wanted: &dyn Fn(Reputation) -> bool| {
        let mut left = tiers.iter().map(|tier| tier.iter().filter(|it| wanted(known(it))));
        let found = left.find_map(|tier| {
            Some(tier.map(|(it, _)| it.uid.to_string()).collect::<Vec<_>>()).filter(|it| !it.is_empty())
        });
        found.unwrap_or_default()
    };
    let tiers = [Reputation::Good, Reputation::SetAside, Reputation::NoWay];
    let tiers = tiers.map(|worst| first(&|it| it <= worst));
    tiers.into_iter().find(|tier| !tier.is_empty()).unwrap_or_default()
}

/// Chooses an endpoint, and finds the way to it.
fn chosen<'m>(backed: &'m Backed, call: &Call<'_>) -> Result<(&'m Workload, Reach<'m>), Refusal> {
    let (workload, near) = choose(call, backed, call.destination)?;
    Ok((workload, call.reach(workload, Some(backed.service()), near)?))
}

/// The gateway of all networks.
fn gate() -> Workload {
    let address: IpAddr = "192.0.2.1".parse().unwrap();
    let gate =
        Workload { uid: "gate".into(), addresses: [address].into_iter().collect(), ..Workload::default() };
    gate.with(|it| {
        it.namespace = "n".into();
        it.hostname = "gate".into();
        it.service_account = "gate".into();
    })
}

/// A random mesh of one service and its clients.
struct World {
    rng: SmallRng,
    store: Store,
    clients: Vec<Workload>,
    /// How likely an endpoint has what is unusual.
    odd: f64,
    capacities: &'static [u32],
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let odd = *[0.0, 0.1, 0.5, 1.0].choose(&mut rng).unwrap();
        let capacities = [&[1][..], &[0], &[0, 1], &[1, 2, 5], &[0, 1, 3], &[1, u32::MAX]]
            .choose(&mut rng)
            .copied()
            .unwrap();
        let mut world =
            Self { rng, store: Store::new(Locality::default()), clients: Vec::new(), odd, capacities };
        let service = world.service();
        world.store.insert(Resource::Service(service));
        world.store.insert(Resource::Workload(gate()));
        world.clients = (0..12).map(|nth| world.workload(&format!("client {nth}"))).collect();
        world
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        *of.choose(&mut self.rng).unwrap()
    }

    fn is_odd(&mut self) -> bool {
        self.rng.random_bool(self.odd)
    }

    fn service(&mut self) -> Service {
        use Preference::{Cluster, Network, Node, Region, Subzone, Zone};
        let mut preferences = vec![Region, Zone, Subzone, Node, Cluster, Network];
        rand::seq::SliceRandom::shuffle(&mut preferences[..], &mut self.rng);
        preferences.truncate(self.rng.random_range(0..=4));
        let load_balancer = LoadBalancer {
            preferences,
            mode: self.one(&[BalanceMode::Standard, BalanceMode::Strict, BalanceMode::Failover]),
            health_policy: self.one(&[HealthPolicy::OnlyHealthy, HealthPolicy::AllowAll]),
        };
        Service {
            name: "s".into(),
            namespace: "n".into(),
            hostname: "s".into(),
            ports: [(80, 8080), (81, 0), (82, 0)].into_iter().collect(),
            ip_families: self.one(&[IpFamilies::Automatic, IpFamilies::V4Only, IpFamilies::V6Only]),
            load_balancer,
            subject_alt_names: if self.is_odd() { vec!["spiffe://d/ns/n/sa/s".into()] } else { Vec::new() },
            ..Service::default()
        }
    }

    fn workload(&mut self, uid: &str) -> Workload {
        let mut place = Place { node: self.one(&["a", "b", "c"]).into(), ..Place::default() };
        place.locality.region = self.one(&["r", "r", "q"]).into();
        place.locality.zone = self.one(&["y", "z", ""]).into();
        let addresses: Vec<IpAddr> =
            if self.is_odd() { self.addresses() } else { vec![self.address("10.0.0.")] };
        let ports = self.ports();
        let workload = Workload {
            uid: uid.into(),
            place: place.into(),
            addresses: addresses.into_iter().collect(),
            status: if self.rng.random_bool(0.2) { Health::Unhealthy } else { Health::Healthy },
            capacity: self.one(self.capacities),
            ..Workload::default()
        };
        let [cluster, network, hostname, gateway] = [(); 4].map(|()| self.is_odd());
        workload.with(|it| {
            it.cluster_id = if cluster { "d" } else { "c" }.into();
            it.network = if network { "west" } else { "" }.into();
            it.hostname = if hostname { "db.example.com" } else { "" }.into();
            it.services = [(SERVICE.into(), ports)].into_iter().collect();
            let destination = GatewayDestination::Hostname { namespace: "n".into(), hostname: "gate".into() };
            it.network_gateway = gateway.then_some(GatewayAddress { destination, port: 15008 });
        })
    }

    fn address(&mut self, prefix: &str) -> IpAddr {
        format!("{prefix}{}", self.rng.random_range(1..9)).parse().unwrap()
    }

    fn addresses(&mut self) -> Vec<IpAddr> {
        let all = [self.address("10.0.0."), self.address("fd00::")];
        all.into_iter().filter(|_| self.rng.random_bool(0.5)).collect()
    }

    fn ports(&mut self) -> PortMap {
        let all = [(80, 1), (80, 0), (81, 8081), (81, 0), (82, 8082)];
        all.into_iter().filter(|_| self.rng.random_bool(0.4)).collect()
    }

    /// Adds, changes or removes an endpoint, or changes the service.
    fn change(&mut self) {
        let uid = format!("e{}", self.rng.random_range(0..12));
        match self.rng.random_range(0..10) {
            0 => {
                let service = self.service();
                self.store.insert(Resource::Service(service));
            }
            1 | 2 => self.store.remove_address(&uid),
            _ => {
                let workload = self.workload(&uid);
                self.store.insert(Resource::Workload(workload));
            }
        }
    }

    /// A call: its client, and what that dials.
    fn call(&mut self) -> (Workload, SocketAddr) {
        let client = self.clients.choose(&mut self.rng).unwrap().clone();
        let prefix = self.one(&["10.0.0.", "fd00::", "10.1.0."]);
        (client, SocketAddr::new(self.address(prefix), self.one(&[80, 80, 80, 81, 82, 83])))
    }

    /// Compares what is chosen with the scan, for a number of calls.
    fn compare(&mut self, snapshot: &Snapshot) {
        let backed = snapshot.backed(SERVICE).unwrap();
        for _ in 0..40 {
            let (client, to) = self.call();
            let entropy = self
                .one(&[0, 1, 2, 3, u64::MAX])
                .wrapping_add(self.rng.random::<u64>() >> self.one(&[0, 32, 60]));
            let call = call(snapshot, &client, to, entropy, &Newcomer);
            let chosen = chosen(backed, &call).map(|(workload, reach)| (workload.uid.to_string(), reach));
            assert_eq!(chosen, scan(backed, &call), "{client:?} to {to} of {:?}", backed.service());
        }
    }

    /// Compares with the scan when some endpoints have a bad reputation.
    fn compare_judged(&mut self, snapshot: &Snapshot) {
        let backed = snapshot.backed(SERVICE).unwrap();
        for _ in 0..20 {
            let (client, to) = self.call();
            let bad = self.one(&[0.1, 0.5, 0.9, 1.0]);
            let reputations: Vec<Reputation> = (0..13 * 10)
                .map(|_| match self.rng.random_bool(bad) {
                    true => self.one(&[Reputation::SetAside, Reputation::Tried]),
                    false => Reputation::Good,
                })
                .collect();
            let known = |it: &Workload, to: SocketAddr| {
                let Ok(nth) = it.uid[1..].parse::<usize>() else { return Reputation::Good };
                reputations[nth * 10 + usize::from(to.port()) % 10]
            };
            let call = call(snapshot, &client, to, self.rng.random(), &known);
            let Ok(tiers) = tiers(backed, &call) else { continue };
            let eligible = eligible(&tiers, known);
            match choose(&call, backed, to) {
                Ok((chosen, near)) => {
                    assert!(eligible.contains(&chosen.uid.to_string()), "{chosen:?} is none of {eligible:?}");
                    let candidate = tiers.iter().flatten().find(|(it, _)| it.uid == chosen.uid).unwrap();
                    assert_eq!(candidate.1, call.reach(chosen, Some(backed.service()), near));
                }
                Err(Refusal::NoEndpoint { .. }) => assert!(eligible.is_empty(), "none of {eligible:?}"),
                Err(other) => panic!("{other}"),
            }
        }
    }
}

#[test]
fn the_choice_is_that_of_a_scan_whatever_has_changed_before() {
    for seed in 0..120 {
        let mut world = World::new(seed);
        let mut before = world.store.snapshot();
        for _ in 0..12 {
            for _ in 0..world.rng.random_range(1..8) {
                world.change();
            }
            let after = world.store.snapshot();
            world.compare(&after);
            world.compare(&before);
            world.compare_judged(&after);
            before = after;
        }
    }
}

#[test]
fn consecutive_entropy_gives_each_endpoint_exactly_its_capacity() {
    let mut shared = 0;
    for seed in 0..200 {
        let mut world = World::new(seed);
        (0..20).for_each(|_| world.change());
        let snapshot = world.store.snapshot();
        let backed = snapshot.backed(SERVICE).unwrap();
        let (client, to) = world.call();
        let call = |entropy| call(&snapshot, &client, to, entropy, &Newcomer);
        let Some(best) = tiers(backed, &call(0)).ok().and_then(|tiers| tiers.into_iter().next()) else {
            continue;
        };
        let total: u64 = best.iter().map(|(it, _)| u64::from(it.capacity)).sum();
        if best[0].1.is_err() || total > 1000 {
            continue;
        }
        let start = world.rng.random::<u64>() >> 1;
        for (workload, _) in &best {
            let count = (start..start + total.max(best.len() as u64)).filter(|&entropy| {
                let (chosen, _) = choose(&call(entropy), backed, to).unwrap();
                chosen.uid == workload.uid
            });
            assert_eq!(count.count() as u64, if total == 0 { 1 } else { u64::from(workload.capacity) });
        }
        shared += usize::from(best.len() > 1);
    }
    assert!(shared > 20, "only {shared} services had more than one endpoint");
}
