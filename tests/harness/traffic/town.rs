//! Two nodes with pods that speak to each other: who there is, who may speak to whom, and the programs that see to it.
//!
//! | node | pod | |
//! |---|---|---|
//! | one | `alice` | gets in everywhere |
//! | one | `bob` | is let into the shop and put out again |
//! | one | `mallory` | not in the vault |
//! | one | `street` | is not in the mesh |
//! | one, two | `shop-0`, `shop-1` | the service `shop` |
//! | two | `vault` | lets in `alice` alone |
//! | two | `tenant-N` | one after the other at one address; those with an even number are in the service `inn`, as is `shop-1` |
//!
//! What changes the mesh is written, and waited for by nobody here: programs may be away.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use culvert_lab::{Lab, Launch, Node, Pod, PodSpec, Program, Section, Service, ServiceSpec};

use super::echo::{Echo, Flaw, PORT};
use super::journal::Journal;
use super::pattern::Privacy;
use crate::harness::cluster::lab;
use crate::harness::v1;

/// The port of the services.
pub(crate) const SERVICE_PORT: u16 = 70;
/// Pods that stay.
pub(crate) const RESIDENTS: [&str; 7] = ["alice", "bob", "mallory", "street", "shop-0", "shop-1", "vault"];

/// A program of the mesh: of the first node, or the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    Control,
    Agent(usize),
    Node(usize),
}

pub(crate) const PARTS: [Part; 5] =
    [Part::Control, Part::Agent(0), Part::Agent(1), Part::Node(0), Part::Node(1)];

/// Whom a client wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Aim {
    Resident(&'static str),
    /// Whoever is at the tenants' address.
    Tenant,
    /// The services.
    Shop,
    Inn,
}

/// Whether Bob is welcome in the shop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Welcome {
    Allowed,
    Denied,
}

/// What is known of it: the number of the decision, and whether the node of `shop-1` is known to go by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Decision {
    pub(crate) number: u32,
    pub(crate) welcome: Welcome,
    pub(crate) in_force: bool,
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
    pub(crate) lab: Lab,
    pub(crate) nodes: [Node; 2],
    pub(crate) journal: Arc<Journal>,
    residents: BTreeMap<&'static str, Pod>,
    shop: Service,
    inn: Service,
    tenants: Mutex<Vec<Tenant>>,
    decision: Mutex<Decision>,
    programs: Mutex<BTreeMap<Part, Program>>,
    settings: fn(&Self, Part, Launch) -> Launch,
}

impl Town {
    /// Makes it and starts all programs, and waits for none of them.
    #[track_caller]
    pub(crate) fn start(name: &str, settings: fn(&Self, Part, Launch) -> Launch) -> Self {
        let town = Self::without_programs(name, settings);
        PARTS.into_iter().for_each(|part| town.run(part));
        town
    }

    /// Makes it.
    #[track_caller]
    pub(crate) fn without_programs(name: &str, settings: fn(&Self, Part, Launch) -> Launch) -> Self {
        let lab = lab(name).unwrap();
        let nodes = [lab.node("one").unwrap(), lab.node("two").unwrap()];
        let journal = Arc::new(Journal::new());
        let mut residents = BTreeMap::new();
        for name in RESIDENTS {
            let node = &nodes[usize::from(matches!(name, "shop-1" | "vault"))];
            let namespace = name.split('-').next().expect("a text has a first part");
            let spec = PodSpec::new(name).namespace(namespace).service_account(namespace);
            let pod = lab.pod(node, spec).unwrap();
            let welcome = (name == "vault").then(|| vec!["alice"]);
            Echo::start(&pod, &journal, welcome, Flaw::None);
            residents.insert(name, pod);
        }
        let spec = |name: &str| ServiceSpec::new(name).namespace(name).port(SERVICE_PORT, PORT);
        let shop = lab.service(spec("shop"), &[&residents["shop-0"], &residents["shop-1"]]).unwrap();
        let inn = lab.service(spec("inn"), &[&residents["shop-1"]]).unwrap();
        let decision = Decision { number: 0, welcome: Welcome::Allowed, in_force: false };
        let town = Self {
            lab,
            nodes,
            journal,
            residents,
            shop,
            inn,
            tenants: Mutex::default(),
            decision: Mutex::new(decision),
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
        let tenants = lock(&self.tenants);
        let tenant = tenants.iter().filter(|tenant| tenant.until.is_none()).map(|tenant| tenant.pod.clone());
        self.residents.values().cloned().chain(tenant).collect()
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

    /// Whether a connection that began then may be answered by this one now; if not, why not.
    pub(crate) fn may_answer(
        &self,
        client: &str,
        aim: Aim,
        (begun, decided): (Instant, Decision),
        name: &str,
    ) -> Result<(), String> {
        let is_tenant = |inn_only: bool| {
            let (number, tenants) = (name.strip_prefix("tenant-"), lock(&self.tenants));
            let is_in_inn =
                number.and_then(|number| number.parse::<u32>().ok()).is_some_and(|it| it % 2 == 0);
            (is_in_inn || !inn_only)
                && tenants
                    .iter()
                    .any(|it| it.pod.name() == name && it.until.is_none_or(|until| until > begun))
        };
        let is_wanted = match aim {
            Aim::Resident(wanted) => name == wanted,
            Aim::Tenant => is_tenant(false),
            Aim::Shop => name == "shop-0" || name == "shop-1",
            Aim::Inn => name == "shop-1" || is_tenant(true),
        };
        if !is_wanted {
            return Err(format!("{name} answered, whom nobody asked for"));
        }
        if name == "vault" && client != "alice" {
            return Err("the vault answered".to_owned());
        }
        // Judged where the shop is on another node than Bob; the node that was asked last is the one that has the rule.
        let denied = decided.in_force && decided.welcome == Welcome::Denied && self.decision() == decided;
        if client == "bob" && name == "shop-1" && denied {
            return Err(format!("{name} answered, decision {} denies it", decided.number));
        }
        Ok(())
    }

    pub(crate) fn decision(&self) -> Decision {
        *lock(&self.decision)
    }

    /// Writes down whether Bob is welcome in the shop.
    #[track_caller]
    pub(crate) fn decide(&self, welcome: Welcome) {
        let number = {
            let mut decision = lock(&self.decision);
            *decision = Decision { number: decision.number + 1, welcome, in_force: false };
            decision.number
        };
        let whom = if welcome == Welcome::Denied { "bob" } else { "nobody" };
        let policies = format!(
            "- {{name: decision-{number}, namespace: shop, scope: Namespace, action: Deny, \
             rules: [[[{{principals: [!Exact cluster.local/ns/{whom}/sa/{whom}]}}]]]}}\n\
             - {{name: alice-only, namespace: vault, scope: Namespace, action: Allow, \
             rules: [[[{{principals: [!Exact cluster.local/ns/alice/sa/alice]}}]]]}}\n"
        );
        self.lab.set(Section::Policies, &policies).unwrap();
    }

    /// Whether the node of `shop-1` goes by what was decided last; it is in force from then on.
    pub(crate) fn is_decided(&self) -> bool {
        let decision = self.decision();
        let Ok(answer) = culvert_lab::http::get(self.nodes[1].netns(), v1::ADMIN, "/v1/policies") else {
            return false;
        };
        let is_it = answer.text().contains(&format!("\"decision-{}\"", decision.number));
        if is_it && decision == self.decision() {
            self.in_force();
        }
        is_it
    }

    /// What was decided last counts.
    pub(crate) fn in_force(&self) {
        lock(&self.decision).in_force = true;
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

    /// Starts a program unless it runs, and does not wait until it is ready.
    #[track_caller]
    pub(crate) fn run(&self, part: Part) {
        self.run_with(part, |launch| launch);
    }

    /// The same, of a program that is started in another way.
    #[track_caller]
    pub(crate) fn run_with(&self, part: Part, change: impl FnOnce(Launch) -> Launch) {
        let mut programs = lock(&self.programs);
        if programs.get(&part).is_some_and(Program::is_running) {
            return;
        }
        let launch = match part {
            Part::Control => self.lab.control_launch(),
            Part::Agent(index) => self.lab.agent_launch(&self.nodes[index]),
            Part::Node(index) => self.lab.node_launch(&self.nodes[index]),
        };
        let launch = (self.settings)(self, part, launch.unwrap());
        programs.insert(part, self.lab.start(change(launch)).unwrap());
    }

    /// A program, which may have ended.
    #[track_caller]
    pub(crate) fn program(&self, part: Part) -> Program {
        lock(&self.programs)[&part].clone()
    }
}

fn lock<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}
