//! Things broken on purpose: packets that a node drops, refuses or loses on their way.
//!
//! In go a node and what to break; out comes a guard that repairs it. Only forwarded packets are touched, which is all
//! traffic of pods; a node's own programs keep their connections to the control plane.

use std::sync::Arc;

use culvert_sys::netns::Netns;

use crate::node::Node;
use crate::pod::Pod;
use crate::{Error, Lab, tool};

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It disappears, as in a network that is broken or a firewall that is silent.
    Dropped,
    /// It is answered by a TCP reset, as by a firewall that is not.
    Reset,
    /// It disappears with this probability, in percent.
    Lossy(u8),
}

/// A fault. It is repaired when dropped.
#[derive(Debug)]
pub struct Fault {
    netns: Arc<Netns>,
    rules: Vec<Vec<String>>,
}

impl Lab {
    /// Breaks TCP connections to a port, for everything a node forwards; also those that are established.
    ///
    /// # Errors
    /// When the kernel does not take the rule.
    pub fn break_port(&self, node: &Node, port: u16, fate: Fate) -> Result<Fault, Error> {
        let port = port.to_string();
        self.break_packets(node, &["-p", "tcp", "--dport", &port], fate)
    }

    /// Cuts a pod off: nothing comes out of it or gets in.
    ///
    /// # Errors
    /// When the pod is not on that node, or the kernel does not take the rules.
    pub fn isolate(&self, node: &Node, pod: &Pod) -> Result<Fault, Error> {
        let mut fault = self.break_packets(node, &["-i", pod.node_interface()], Fate::Dropped)?;
        let mut other = self.break_packets(node, &["-o", pod.node_interface()], Fate::Dropped)?;
        fault.rules.append(&mut other.rules);
        Ok(fault)
    }

    /// Breaks the packets that an `iptables` match describes, of both families, among those a node forwards. To
    /// [reset](Fate::Reset) them, match `-p tcp`.
    ///
    /// # Errors
    /// When the kernel does not take the rule.
    pub fn break_packets(&self, node: &Node, matches: &[&str], fate: Fate) -> Result<Fault, Error> {
        let mut fault = Fault { netns: Arc::clone(node.netns()), rules: Vec::new() };
        for family in ["iptables", "ip6tables"] {
            let rule: Vec<_> = matches.iter().copied().map(str::to_owned).chain(fate.words()).collect();
            fault.add([vec![family.to_owned()], rule].concat())?;
        }
        Ok(fault)
    }
}

impl Fate {
    fn words(self) -> Vec<String> {
        let words: &[&str] = match self {
            Self::Dropped => &["-j", "DROP"],
            Self::Reset => &["-j", "REJECT", "--reject-with", "tcp-reset"],
            Self::Lossy(percent) => {
                let probability = format!("{:.2}", f64::from(percent.min(100)) / 100.0);
                return ["-m", "statistic", "--mode", "random", "--probability", &probability, "-j", "DROP"]
                    .map(str::to_owned)
                    .to_vec();
            }
        };
        words.iter().copied().map(str::to_owned).collect()
    }
}

impl Fault {
    /// Repairs it.
    ///
    /// # Errors
    /// When a rule is gone already.
    pub fn heal(mut self) -> Result<(), Error> {
        self.remove()
    }

    /// `rule` begins with the name of the tool.
    fn add(&mut self, rule: Vec<String>) -> Result<(), Error> {
        apply(&self.netns, "-I", &rule)?;
        self.rules.push(rule);
        Ok(())
    }

    fn remove(&mut self) -> Result<(), Error> {
        std::mem::take(&mut self.rules)
            .iter()
            .map(|rule| apply(&self.netns, "-D", rule))
            .fold(Ok(()), Result::and)
    }
}

fn apply(netns: &Netns, action: &str, rule: &[String]) -> Result<(), Error> {
    let (family, rest) = rule.split_first().expect("a rule begins with the name of the tool");
    let words =
        [family.as_str(), "-w", "5", action, "FORWARD"].into_iter().chain(rest.iter().map(String::as_str));
    tool::run_in(netns, &words.collect::<Vec<_>>(), "").map(|_| ())
}

impl Drop for Fault {
    fn drop(&mut self) {
        // The namespace may be going away just the same.
        let _ = self.remove();
    }
}
