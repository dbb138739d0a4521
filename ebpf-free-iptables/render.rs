//! Rules as the tools write them: the part of a line after `-A CHAIN`.
//!
//! In goes a rule value; out comes the text `iptables-restore` reads. [`crate::parse`] is the inverse.

use std::fmt;

use ipnet::IpNet;

use crate::rule::{Action, Field, Match, Protocol, Rule, Sense};

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for one in self.matches() {
            write!(f, "{one} ")?;
        }
        write!(f, "-j {}", self.action())
    }
}

impl fmt::Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The extension has to be named before its options, and the negation stands directly before the option.
        f.write_str(extension(&self.field))?;
        if self.sense == Sense::IsNot {
            f.write_str("! ")?;
        }
        match &self.field {
            Field::Source(network) => write!(f, "-s {}", written(*network)),
            Field::Destination(network) => write!(f, "-d {}", written(*network)),
            Field::InInterface(name) => write!(f, "-i {name}"),
            Field::OutInterface(name) => write!(f, "-o {name}"),
            Field::Protocol(protocol) => write!(f, "-p {protocol}"),
            // The protocol before it loads the extension.
            Field::SourcePort(port) => write!(f, "--sport {port}"),
            Field::DestinationPort(port) => write!(f, "--dport {port}"),
            Field::Mark(mark) | Field::ConnectionMark(mark) => write!(f, "--mark {mark}"),
            Field::FromOpener => f.write_str("--ctdir ORIGINAL"),
        }
    }
}

/// A single address stands for itself.
fn written(network: IpNet) -> String {
    let single = network.prefix_len() == network.max_prefix_len();
    if single { network.addr().to_string() } else { network.to_string() }
}

fn extension(field: &Field) -> &'static str {
    match field {
        Field::Mark(_) => "-m mark ",
        Field::ConnectionMark(_) => "-m connmark ",
        Field::FromOpener => "-m conntrack ",
        Field::Source(_)
        | Field::Destination(_)
        | Field::InInterface(_)
        | Field::OutInterface(_)
        | Field::Protocol(_)
        | Field::SourcePort(_)
        | Field::DestinationPort(_) => "",
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accept => f.write_str("ACCEPT"),
            Self::Return => f.write_str("RETURN"),
            Self::Jump(chain) => write!(f, "{chain}"),
            Self::Redirect(port) => write!(f, "REDIRECT --to-ports {port}"),
            Self::MarkConnection(mark) => write!(f, "CONNMARK --set-xmark {mark}"),
            Self::RestoreMark => {
                f.write_str("CONNMARK --restore-mark --nfmask 0xffffffff --ctmask 0xffffffff")
            }
            Self::ConntrackZone(zone) => write!(f, "CT --zone {zone}"),
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}
