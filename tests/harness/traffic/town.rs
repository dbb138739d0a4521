//! Two nodes with pods that speak to each other: who there is, who may speak to whom ([`judge`]), and the [`programs`] that see to it.
//!
//! | node | pod | |
//! |---|---|---|
//! | one | `alice` | gets in everywhere |
//! | one | `bob` | is let into the shop and put out again |
//! | one | `mallory` | not in the vault |
//! | one | `street` | is not in the mesh |
//! | one | `gate` | the waypoint of the service `mill` ([`gate`]) |
//! | one, two | `shop-0`, `shop-1` | the service `shop` |
//! | two | `vault` | lets in `alice` alone |
//! | two | `mill` | the service `mill`; lets in `gate` alone |
//! | two | `tenant-N` | one after the other at one address; those with an even number are in the service `inn`, as is `shop-1` |
//!
//! What changes the mesh is written, and waited for by nobody here: programs may be away.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use culvert_lab::{Lab, Launch, Node, PATIENCE, Pod, PodSpec, Program, Service, ServiceSpec, wait_until};

use super::echo::{Echo, Flaw, PORT};
use super::journal::Journal;
use super::pattern::Privacy;
use crate::harness::certificates::Certificate;
use crate::harness::cluster::lab;

mod gate;
mod judge;
mod programs;

pub(crate) use judge::{Begun, Decision, Revocation, Welcome};
pub(crate) use programs::{OURS, PARTS, Part};

use gate::GATE;
use programs::Disks;

/// The port of the services.
pub(crate) const SERVICE_PORT: u16 = 70;
/// Pods that stay, and have a server.
pub(crate) const RESIDENTS: [&str; 8] =
    ["alice", "bob", "mallory", "street", "shop-0", "shop-1", "vault", "mill"];

/// How programs of a town are started, if otherwise than usual.
pub(crate) type Settings = fn(&Town, Part, Launch) -> Launch;

/// Whom a client wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Aim {
    Resident(&'static str),
    /// Whoever is at the tenants' address.
    Tenant,
    /// The services.
    Shop,
    Inn,
    /// The one behind a waypoint.
    Mill,
}

/// A tenant, and until when there was one of that name.
#[derive(Debug)]
struct Tenant {
    pod: Pod,
    echo: Echo,
    until: Option<Instant>,
}

/// A town.
pub(crate) struct Town {
    // Taken away before the lab takes away the directory they are in.
    disks: Disks,
    pub(crate) lab: Lab,
    pub(crate) nodes: [Node; 2],
    pub(crate) journal: Arc<Journal>,
    residents: BTreeMap<&'static str, Pod>,
    gate: Pod,
    certificate: OnceLock<Certificate>,
    shop: Service,
    inn: Service,
    mill: Service,
    tenants: Mutex<Vec<Tenant>>,
    decision: Mutex<Decision>,
    revocation: Mutex<Revocation>,
    programs: Mutex<BTreeMap<Part, Program>>,
    settings: Settings,
}

impl Town {
    /// Makes it and starts all programs, and waits until nobody who is to be in the mesh is outside.
    #[track_caller]
    pub(crate) fn start(name: &str, settings: Settings) -> Self {
        let town = Self::without_programs(name, settings);
        PARTS.into_iter().for_each(|part| town.run(part));
        wait_until(PATIENCE, "all members are enrolled", || {
            town.members().iter().all(|pod| town.has_enrolled(pod))
        })
        .unwrap();
        town
    }

    /// Makes it.
    #[track_caller]
    pub(crate) fn without_programs(name: &str, settings: Settings) -> Self {
        let lab = lab(name).unwrap();
        let nodes = [lab.node("one").unwrap(), lab.node("two").unwrap()];
        let disks = Disks::of(&lab, &nodes);
        let journal = Arc::new(Journal::new());
        let mut residents = BTreeMap::new();
        for name in RESIDENTS {
            let node = &nodes[usize::from(matches!(name, "shop-1" | "vault" | "mill"))];
            let namespace = name.split('-').next().expect("a text has a first part");
            let spec = PodSpec::new(name).namespace(namespace).service_account(namespace);
            let pod = lab.pod(node, spec).unwrap();
            let welcome = (name == "vault").then(|| vec!["alice"]);
            Echo::start(&pod, &journal, welcome, Flaw::None);
            residents.insert(name, pod);
        }
        let gate = PodSpec::new(GATE).namespace(GATE).service_account(GATE).takes_tunnels();
        let gate = lab.pod(&nodes[0], gate).unwrap();
        let gates = ServiceSpec::new(GATE).namespace(GATE).port(gate::PORT, gate::PORT);
        let gates = lab.service(gates, &[&gate]).unwrap();
        let spec = |name: &str| ServiceSpec::new(name).namespace(name).port(SERVICE_PORT, PORT);
        let shop = lab.service(spec("shop"), &[&residents["shop-0"], &residents["shop-1"]]).unwrap();
        let inn = lab.service(spec("inn"), &[&residents["shop-1"]]).unwrap();
        let mill = spec("mill").mesh_keys(&gate::behind(&gates));
        let mill = lab.service(mill, &[&residents["mill"]]).unwrap();
        let town = Self {
            disks,
            lab,
            nodes,
            journal,
            residents,
            gate,
            certificate: OnceLock::new(),
            shop,
            inn,
            mill,
            tenants: Mutex::default(),
            decision: Mutex::new(Decision::FIRST),
            revocation: Mutex::new(Revocation::FIRST),
            programs: Mutex::default(),
            settings,
        };
        let members: Vec<_> = RESIDENTS.iter().filter(|name| **name != "street").collect();
        let members: Vec<_> = members.iter().map(|name| &town.residents[**name]).collect();
        town.lab.enrol_all(&members).unwrap();
        town.decide(Welcome::Allowed);
        town.change_tenant();
        town
    }

    pub(crate) fn resident(&self, name: &str) -> &Pod {
        &self.residents[name]
    }

    /// Every pod there is.
    pub(crate) fn pods(&self) -> Vec<Pod> {
        let mut pods = self.members();
        pods.extend([self.resident("street").clone(), self.gate.clone()]);
        pods
    }

    /// Every pod that is in the mesh.
    pub(crate) fn members(&self) -> Vec<Pod> {
        let tenants = lock(&self.tenants);
        let tenant = tenants.iter().filter(|tenant| tenant.until.is_none()).map(|tenant| tenant.pod.clone());
        let residents = self.residents.values().filter(|pod| pod.name() != "street");
        residents.cloned().chain(tenant).collect()
    }

    /// Where a client finds whom it wants: of IPv4, or of IPv6.
    pub(crate) fn addresses(&self, aim: Aim) -> [SocketAddr; 2] {
        let (ips, port) = match aim {
            Aim::Resident(name) => (self.resident(name).ips(), PORT),
            Aim::Tenant => {
                let tenants = lock(&self.tenants);
                (tenants.last().expect("there always was a tenant").pod.ips(), PORT)
            }
            Aim::Shop => (self.shop.ips(), SERVICE_PORT),
            Aim::Inn => (self.inn.ips(), SERVICE_PORT),
            Aim::Mill => (self.mill.ips(), SERVICE_PORT),
        };
        ips.map(|ip| (ip, port).into())
    }

    pub(crate) fn shop_ip4(&self) -> Ipv4Addr {
        self.shop.ip4()
    }

    /// Whether others on the wire may read what a client says there. An address is nobody's from the end of one tenant until nodes
    /// have heard of the next, and what is said to nobody goes as it would without a mesh.
    pub(crate) fn privacy(client: &str, aim: Aim) -> Privacy {
        if client == "street" || matches!(aim, Aim::Resident("street") | Aim::Tenant) {
            Privacy::Public
        } else {
            Privacy::Confidential
        }
    }

    /// Ends the tenant, if there is one, and gives its address to another one.
    #[track_caller]
    pub(crate) fn change_tenant(&self) {
        let number = lock(&self.tenants).len();
        if let Some((pod, echo)) = self.tenant() {
            if number % 2 == 1 {
                self.lab.set_endpoints(&self.inn, &[self.resident("shop-1")]).unwrap();
            }
            echo.kill();
            self.lab.delete(&pod).unwrap();
            let mut tenants = lock(&self.tenants);
            tenants.last_mut().expect("there is one").until = Some(Instant::now());
        }
        let name = format!("tenant-{number}");
        let spec = PodSpec::new(&name).namespace("inn").service_account(&name);
        let pod = match self.tenant_before() {
            Some(before) => self.lab.successor(&before, spec),
            None => self.lab.pod(&self.nodes[1], spec),
        };
        let pod = pod.unwrap();
        let echo = Echo::start(&pod, &self.journal, None, Flaw::None);
        lock(&self.tenants).push(Tenant { pod: pod.clone(), echo, until: None });
        self.lab.enrol(&pod).unwrap();
        if number.is_multiple_of(2) {
            self.lab.set_endpoints(&self.inn, &[self.resident("shop-1"), &pod]).unwrap();
        }
    }

    fn tenant(&self) -> Option<(Pod, Echo)> {
        let tenants = lock(&self.tenants);
        tenants.last().filter(|it| it.until.is_none()).map(|it| (it.pod.clone(), it.echo.clone()))
    }

    fn tenant_before(&self) -> Option<Pod> {
        lock(&self.tenants).last().map(|tenant| tenant.pod.clone())
    }
}

fn lock<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}
