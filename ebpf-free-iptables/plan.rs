//! Which rules a pod gets: a pure function of [`Options`].
//!
//! In go a pod's switches; out comes, per IP version, the content of each table. A plan knows nothing of what a
//! namespace holds, of tools, or of netlink.
//!
//! What the rules do, in the order in which a packet meets them:
//!
//! - The proxy's own packets carry [`PACKET_MARK`] and are never captured: that is what stops recursion.
//! - A packet of a connection the proxy makes to the application loops over `lo` and so meets `PREROUTING` with its
//!   mark: the connection is labelled with [`RETURN_MARK`]. The application's replies inherit the label, and the policy
//!   route (`policy_route.rs`) bends them back to `lo`, whatever foreign address they are for. Nothing else is
//!   labelled, and the proxy's own packets inherit nothing: a packet whose mark changes is routed a second time, which
//!   bulk traffic would pay for with a twentieth of its throughput.
//! - Other TCP is redirected: outbound to 15001, inbound to 15006. 15008 is dialled directly and needs no rule. What shall
//!   pass is accepted just before that.
//! - With DNS capture, queries go to 15053, and the proxy's own queries live in a conntrack zone of their own so that
//!   they cannot collide with the application's.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::error::Error;
use crate::options::{Excess, Options, Passed};
use crate::rule::{Action, Chain, Family, Field, InterfaceName, Masked, Match, Protocol, Rule, Table};

/// The mark on every packet the proxy sends.
pub const PACKET_MARK: u32 = 0x539;
/// The mark of connections whose replies must come back to the proxy.
pub const RETURN_MARK: u32 = 0x111;
/// The bits of a mark that count; the others belong to whoever else marks packets in the pod.
pub const MARK_MASK: u32 = 0xfff;
/// The routing table that delivers everything locally.
pub const ROUTE_TABLE: u8 = 100;
/// The priority of the policy rule that leads there: just before the main table's.
pub const RULE_PRIORITY: u32 = 32764;
/// Where outbound connections are captured.
pub const OUTBOUND_PORT: u16 = 15001;
/// Where inbound plaintext connections are captured.
pub const INBOUND_PORT: u16 = 15006;
/// Where tunnels arrive; never redirected.
pub const TUNNEL_PORT: u16 = 15008;
/// Where DNS queries are captured.
pub const DNS_PORT: u16 = 15053;
/// The most virtual interfaces one pod may name; each costs two rules per IP version.
pub const MAX_VIRTUAL_INTERFACES: usize = 64;

const DNS: u16 = 53;
const PROXY_DNS_ZONE: u16 = 1;
const PROXY: Masked = Masked { value: PACKET_MARK, mask: MARK_MASK };
const RETURNING: Masked = Masked { value: RETURN_MARK, mask: MARK_MASK };

/// What a pod's namespace should hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    v4: FamilyPlan,
    v6: Option<FamilyPlan>,
    refused: Vec<String>,
    interfaces: usize,
    excess: Option<Excess>,
    reserved: Vec<u16>,
}

/// The tables of one IP version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FamilyPlan {
    pub(crate) family: Family,
    tables: Vec<TablePlan>,
}

/// The chains of one table. Both exist, and both are jumped to, even when one holds no rule: what is expected in a
/// namespace then depends on as little as possible.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TablePlan {
    pub(crate) table: Table,
    prerouting: Vec<Rule>,
    output: Vec<Rule>,
}

impl Plan {
    /// The plan for a pod with these switches. Names that cannot be interface names are kept aside, and make
    /// [`crate::Iptables::apply`] and [`crate::Iptables::verify`] fail.
    #[must_use]
    pub fn new(options: &Options) -> Self {
        let mut interfaces = Vec::new();
        let mut refused = Vec::new();
        for name in &options.virtual_interfaces {
            match InterfaceName::parse(name) {
                Some(name) => interfaces.push(name),
                None => refused.push(name.clone()),
            }
        }
        let build = |facts: Facts| FamilyPlan::new(&facts, options, &interfaces);
        let v6 = options.ipv6.then(|| build(Facts::v6(options)));
        Self {
            v4: build(Facts::v4(options)),
            v6,
            refused,
            interfaces: options.virtual_interfaces.len(),
            excess: options.passed.excess(),
            reserved: options.passed.reserved().collect(),
        }
    }

    /// What `iptables-restore --noflush` would read to bring this plan to a namespace that has none of it; nothing
    /// for an IP version that is not captured.
    #[must_use]
    pub fn render(&self, family: Family) -> Option<String> {
        let plan = self.family(family)?;
        Some(crate::script::Script::bring(Some(plan), &crate::parse::Saved::default()).text())
    }

    pub(crate) fn family(&self, family: Family) -> Option<&FamilyPlan> {
        match family {
            Family::V4 => Some(&self.v4),
            Family::V6 => self.v6.as_ref(),
        }
    }

    /// The ports that stay captured although somebody wants them to pass.
    pub(crate) fn reserved(&self) -> &[u16] {
        &self.reserved
    }

    /// Refuses a plan made from switches nobody can have meant.
    pub(crate) fn check(&self, pod: &str) -> Result<(), Error> {
        if let Some(name) = self.refused.first() {
            return Err(Error::Interface { pod: pod.to_owned(), name: name.clone() });
        }
        if self.interfaces > MAX_VIRTUAL_INTERFACES {
            return Err(Error::Interfaces { pod: pod.to_owned(), count: self.interfaces });
        }
        if let Some(Excess { what, count, most }) = self.excess {
            return Err(Error::Passed { pod: pod.to_owned(), what, count, most });
        }
        Ok(())
    }
}

impl FamilyPlan {
    fn new(facts: &Facts, options: &Options, interfaces: &[InterfaceName]) -> Self {
        let mut tables = vec![mangle()];
        if options.captures_dns() {
            tables.push(raw());
        }
        tables.push(TablePlan {
            table: Table::Nat,
            prerouting: nat_prerouting(facts, options, interfaces),
            output: nat_output(facts, options),
        });
        Self { family: facts.family, tables }
    }

    pub(crate) fn table(&self, table: Table) -> Option<&TablePlan> {
        self.tables.iter().find(|plan| plan.table == table)
    }
}

impl TablePlan {
    pub(crate) fn rules(&self, chain: Chain) -> &[Rule] {
        match chain {
            Chain::Prerouting => &self.prerouting,
            Chain::Output => &self.output,
        }
    }
}

/// What differs between the IP versions.
struct Facts {
    family: Family,
    loopback: IpNet,
    probe: Option<IpNet>,
}

impl Facts {
    fn v4(options: &Options) -> Self {
        Self {
            family: Family::V4,
            loopback: host(Ipv4Addr::LOCALHOST),
            probe: options.probes.map(|probes| host(probes.v4)),
        }
    }

    fn v6(options: &Options) -> Self {
        Self {
            family: Family::V6,
            loopback: host(Ipv6Addr::LOCALHOST),
            probe: options.probes.map(|probes| host(probes.v6)),
        }
    }
}

fn mangle() -> TablePlan {
    let dialled = vec![from_proxy(), Match::is(Field::FromOpener)];
    let label = Rule::new(dialled, Action::MarkConnection(RETURNING));
    let answers = vec![not_from_proxy(), Match::is(Field::ConnectionMark(RETURNING))];
    let inherit = Rule::new(answers, Action::RestoreMark);
    TablePlan { table: Table::Mangle, prerouting: vec![label], output: vec![inherit] }
}

fn raw() -> TablePlan {
    let queries = vec![udp(), Match::is(Field::DestinationPort(DNS)), from_proxy()];
    let answers = vec![udp(), Match::is(Field::SourcePort(DNS)), not_from_proxy()];
    let zone = |matches| Rule::new(matches, Action::ConntrackZone(PROXY_DNS_ZONE));
    TablePlan { table: Table::Raw, prerouting: vec![zone(answers)], output: vec![zone(queries)] }
}

fn nat_prerouting(facts: &Facts, options: &Options, interfaces: &[InterfaceName]) -> Vec<Rule> {
    let mut rules = Vec::new();
    for name in interfaces {
        let arriving = vec![Match::is(Field::InInterface(name.clone())), tcp()];
        rules.push(Rule::new(arriving.clone(), Action::Redirect(OUTBOUND_PORT)));
        rules.push(Rule::new(arriving, Action::Return));
    }
    if options.inbound {
        rules.extend(facts.probe.map(|probe| passing(Field::Source(probe))));
        for port in options.passed.inbound() {
            rules.push(passing(Field::DestinationPort(port)));
        }
        let tunnel = Match::not(Field::DestinationPort(TUNNEL_PORT));
        let inbound = vec![tcp(), not_to(facts.loopback), tunnel, not_from_proxy()];
        rules.push(Rule::new(inbound, Action::Redirect(INBOUND_PORT)));
    }
    rules
}

fn nat_output(facts: &Facts, options: &Options) -> Vec<Rule> {
    let mut rules: Vec<Rule> =
        facts.probe.map(|probe| passing(Field::Destination(probe))).into_iter().collect();
    if options.captures_dns() {
        // Both protocols look at the interface: a resolver inside the pod (127.0.0.53, the pod's own address) is left
        // alone over TCP as it is over UDP.
        for protocol in [udp(), tcp()] {
            let leaving = Match::not(Field::OutInterface(loopback_interface()));
            let query = vec![protocol, Match::is(Field::DestinationPort(DNS)), leaving, not_from_proxy()];
            rules.push(Rule::new(query, Action::Redirect(DNS_PORT)));
        }
    }
    let local = Match::is(Field::OutInterface(loopback_interface()));
    let returning = vec![tcp(), Match::is(Field::Mark(RETURNING))];
    rules.push(Rule::new(returning, Action::Accept));
    rules.push(Rule::new(vec![local, not_to(facts.loopback)], Action::Accept));
    // After DNS, which is captured wherever a query goes.
    rules.extend(passed_outbound(facts.family, &options.passed));
    let outbound = vec![tcp(), not_to(facts.loopback), not_from_proxy()];
    rules.push(Rule::new(outbound, Action::Redirect(OUTBOUND_PORT)));
    rules
}

fn passed_outbound(family: Family, passed: &Passed) -> impl Iterator<Item = Rule> {
    let ports = passed.outbound_ports.iter().copied().map(Field::DestinationPort);
    let networks = passed.networks(family).into_iter().map(Field::Destination);
    ports.chain(networks).map(passing)
}

/// Accepting leaves the other tables alone: whether replies come back to the proxy is decided there, by labels that
/// what passes never gets.
fn passing(what: Field) -> Rule {
    Rule::new(vec![tcp(), Match::is(what)], Action::Accept)
}

fn tcp() -> Match {
    Match::is(Field::Protocol(Protocol::Tcp))
}

fn udp() -> Match {
    Match::is(Field::Protocol(Protocol::Udp))
}

fn from_proxy() -> Match {
    Match::is(Field::Mark(PROXY))
}

fn not_from_proxy() -> Match {
    Match::not(Field::Mark(PROXY))
}

fn not_to(network: IpNet) -> Match {
    Match::not(Field::Destination(network))
}

/// One address as a network.
fn host(address: impl Into<IpAddr>) -> IpNet {
    address.into().into()
}

fn loopback_interface() -> InterfaceName {
    InterfaceName::parse("lo").expect("lo is an interface name")
}
