//! The vocabulary of packet rules: families, tables, chains, matches and actions as values.
//!
//! In goes what a rule means; out comes its one canonical form, so that two rules that mean the same are equal.
//! Nothing here knows which rules a pod gets ([`crate::plan`]) or talks to a tool.

use std::fmt;

use ipnet::IpNet;

/// An IP version. Each has its own tables, tools and policy routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4: `iptables`.
    V4,
    /// IPv6: `ip6tables`.
    V6,
}

impl Family {
    /// Both, in the order in which they are programmed.
    pub(crate) const BOTH: [Self; 2] = [Self::V4, Self::V6];

    /// The stem of the tool names of this family.
    pub(crate) fn tool_stem(self) -> &'static str {
        match self {
            Self::V4 => "iptables",
            Self::V6 => "ip6tables",
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// A table that can hold capture rules, in the order in which they are programmed: the one that diverts traffic last,
/// so that what it relies on is there first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// Marks of packets and connections.
    Mangle,
    /// Before connection tracking: conntrack zones of DNS.
    Raw,
    /// Redirection to the capture listeners.
    Nat,
}

impl Table {
    pub(crate) const ALL: [Self; 3] = [Self::Mangle, Self::Raw, Self::Nat];

    /// The name the tools use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Mangle => "mangle",
            Self::Raw => "raw",
            Self::Nat => "nat",
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A chain that belongs to capture; the names are the ones existing node agents use, so either cleans up the other's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Chain {
    /// Jumped to from `PREROUTING`.
    Prerouting,
    /// Jumped to from `OUTPUT`.
    Output,
}

impl Chain {
    pub(crate) const BOTH: [Self; 2] = [Self::Prerouting, Self::Output];

    /// The name of the chain.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Prerouting => "ISTIO_PRERT",
            Self::Output => "ISTIO_OUTPUT",
        }
    }

    /// The built-in chain that jumps here.
    #[must_use]
    pub fn hook(self) -> &'static str {
        match self {
            Self::Prerouting => "PREROUTING",
            Self::Output => "OUTPUT",
        }
    }

    /// Our chain of this name, if it is one.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::BOTH.into_iter().find(|chain| chain.name() == name)
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One rule: all matches must hold, then the action is taken. Matches are kept sorted: their order means nothing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rule {
    matches: Vec<Match>,
    action: Action,
}

impl Rule {
    /// A rule in canonical form: networks without host bits, and no condition that every packet fulfils. The tools print
    /// the rules they were given in this way.
    pub(crate) fn new(matches: Vec<Match>, action: Action) -> Self {
        let canonical = matches.into_iter().map(Match::canonical);
        let mut matches: Vec<Match> = canonical.filter(|one| !one.is_always_true()).collect();
        matches.sort();
        Self { matches, action }
    }

    /// The unconditional jump a built-in chain has to one of ours.
    pub(crate) fn jump(chain: Chain) -> Self {
        Self::new(Vec::new(), Action::Jump(chain))
    }

    pub(crate) fn matches(&self) -> &[Match] {
        &self.matches
    }

    pub(crate) fn action(&self) -> &Action {
        &self.action
    }
}

/// A condition on a packet, or its opposite.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Match {
    pub(crate) field: Field,
    pub(crate) sense: Sense,
}

impl Match {
    pub(crate) fn is(field: Field) -> Self {
        Self { field, sense: Sense::Is }
    }

    pub(crate) fn not(field: Field) -> Self {
        Self { field, sense: Sense::IsNot }
    }

    fn canonical(mut self) -> Self {
        if let Field::Source(network) | Field::Destination(network) = &mut self.field {
            *network = network.trunc();
        }
        self
    }

    fn is_always_true(&self) -> bool {
        let (Field::Source(network) | Field::Destination(network)) = &self.field else { return false };
        self.sense == Sense::Is && network.prefix_len() == 0
    }
}

/// Whether a condition must hold or must not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Sense {
    Is,
    IsNot,
}

/// What a condition looks at. The order of the variants is the order in which they are written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Field {
    Source(IpNet),
    Destination(IpNet),
    InInterface(InterfaceName),
    OutInterface(InterfaceName),
    Protocol(Protocol),
    SourcePort(u16),
    DestinationPort(u16),
    Mark(Masked),
    ConnectionMark(Masked),
    /// The packet goes the way of the first packet of its connection.
    FromOpener,
}

/// What happens to a packet that matches.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Action {
    Accept,
    Return,
    Jump(Chain),
    /// To a port of this namespace.
    Redirect(u16),
    /// Sets the mark of the connection.
    MarkConnection(Masked),
    /// Copies the mark of the connection to the packet, all bits.
    RestoreMark,
    /// Gives the connection a conntrack zone.
    ConntrackZone(u16),
}

/// The transport protocols capture tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Protocol {
    Tcp,
    Udp,
}

/// A mark and the bits of it that count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Masked {
    pub(crate) value: u32,
    pub(crate) mask: u32,
}

impl fmt::Display for Masked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}/{:#x}", self.value, self.mask)
    }
}

/// The name of a network interface, or with a final `+` the beginning of one. Safe to write into a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct InterfaceName(String);

impl InterfaceName {
    /// Accepts what the kernel accepts as a name, less what could mean something else in a line of rules. Names come
    /// from pod annotations, so anybody may have written them.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        const LONGEST: usize = 15;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.:@+".contains(&byte);
        let starts_well = name.as_bytes().first().is_some_and(|first| !b"-+".contains(first));
        let fits = name.len() <= LONGEST && name.bytes().all(plain);
        (starts_well && fits && name != "." && name != "..").then(|| Self(name.to_owned()))
    }
}

impl fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interface_names_cannot_smuggle_rules() {
        let check = |name: &str, accepted: bool| {
            assert_eq!(InterfaceName::parse(name).is_some(), accepted, "{name:?}");
        };
        check("eth0", true);
        check("vnet+", true);
        check("br-1.5:7@x_y", true);
        check("fifteen-bytes-x", true);
        check("sixteen-bytes-xx", false);
        check("", false);
        check("+", false);
        check("..", false);
        check("-j", false);
        check("eth0 -j ACCEPT", false);
        check("eth0\nCOMMIT", false);
        check("a/b", false);
        check("!eth0", false);
        check("\"eth0\"", false);
        check("ethé", false);
    }

    #[test]
    fn networks_that_are_the_same_are_equal() {
        let to = |network: &str| {
            Rule::new(vec![Match::is(Field::Destination(network.parse().unwrap()))], Action::Accept)
        };
        assert_eq!(to("10.1.2.3/8"), to("10.0.0.0/8"));
        assert_eq!(to("2001:db8::1/32"), to("2001:db8::/32"));
        assert_ne!(to("10.1.2.3/32"), to("10.1.2.0/32"));
        assert_eq!(to("10.1.2.3/0"), Rule::new(Vec::new(), Action::Accept));
        assert_eq!(to("::/0"), Rule::new(Vec::new(), Action::Accept));
    }

    #[test]
    fn a_condition_nothing_fulfils_stays() {
        let nowhere = Match::not(Field::Destination("0.0.0.0/0".parse().unwrap()));
        assert_eq!(Rule::new(vec![nowhere.clone()], Action::Accept).matches(), [nowhere]);
    }

    #[test]
    fn the_order_of_matches_means_nothing() {
        let tcp = Match::is(Field::Protocol(Protocol::Tcp));
        let port = Match::not(Field::DestinationPort(15008));
        let one = Rule::new(vec![tcp.clone(), port.clone()], Action::Accept);
        assert_eq!(one, Rule::new(vec![port, tcp], Action::Accept));
    }
}
