//! Ports that node and agent need, and who has them.

use std::io;

use culvert_sys::sockets::{self, state};

use super::catalogue::Family;
use super::finding::{Check, Finding, Verdict};
use super::processes::{self, Process};
use super::sight::Sight;
use super::{Context, in_pod};

pub(crate) const FAMILY: Family = Family { name: "ports", checks: &[&NODE, &AGENT, &POD], look };

const NODE: Check = Check {
    name: "node-ports",
    why: "culvert-node does not start unless it gets 15000 (admin), 15020 (metrics) and 15021 (readiness)",
};
const AGENT: Check = Check {
    name: "agent-port",
    why: "culvert-agent does not start unless it gets 15014 (metrics and readiness)",
};
const POD: Check = Check {
    name: "pod-ports",
    why: "culvert-node must get 15001, 15006, 15008 and 15053 inside the pod, else the pod is not served",
};

/// What ours are called, as the kernel shortens it.
const OURS: [&str; 3] = ["culvert-node", "culvert-agent", "ztunnel"];

/// A port somebody listens on; nobody when whoever it is may not be looked at.
struct Taken {
    port: u16,
    by: Option<Process>,
}

fn look(context: &Context<'_>) -> Vec<Finding> {
    let mut findings = of(&NODE, taken(&context.here, &[15000, 15020, 15021]), "culvert-node");
    findings.extend(of(&AGENT, taken(&context.here, &[15014]), "culvert-agent"));
    findings.extend(in_pod(context, &[&POD], |pod| {
        let all = [
            ebpf_free_iptables::OUTBOUND_PORT,
            ebpf_free_iptables::INBOUND_PORT,
            ebpf_free_iptables::TUNNEL_PORT,
            ebpf_free_iptables::DNS_PORT,
        ];
        of(&POD, taken(pod, &all), "culvert-node")
    }));
    findings
}

/// One finding for each port that is taken, or one that all are free.
fn of(check: &Check, taken: io::Result<Vec<Taken>>, who: &str) -> Vec<Finding> {
    match taken {
        Ok(taken) if taken.is_empty() => vec![check.finding(Verdict::ok("free"))],
        Ok(taken) => taken.iter().map(|taken| check.finding(judge(taken, who))).collect(),
        Err(error) => vec![check.finding(Verdict::unseen(&error))],
    }
}

fn judge(Taken { port, by }: &Taken, who: &str) -> Verdict {
    match by {
        Some(process) if process.name == who => Verdict::ok(format!("{port}: {process} has it already")),
        Some(process) if OURS.contains(&process.name.as_str()) => Verdict::problem(
            format!("{port} is taken by {process}, another node proxy or agent"),
            format!("remove that one from this node first: kill {}", process.number),
        ),
        Some(process) => Verdict::problem(
            format!("{port} is taken by {process}"),
            format!("move it to another port, or stop it: kill {}", process.number),
        ),
        None => Verdict::problem(
            format!("{port} is taken; needs root to see by whom"),
            format!("see who it is: sudo ss -Hltnp sport = :{port}"),
        ),
    }
}

/// The ports that somebody listens on.
fn taken(sight: &Sight, ports: &[u16]) -> io::Result<Vec<Taken>> {
    let mut all = Vec::new();
    for port in ports {
        if let Some(inode) = listener(sight, *port)? {
            all.push(Taken { port: *port, by: processes::owner_of_socket(inode) });
        }
    }
    Ok(all)
}

/// Whoever listens on a port, by the number of the socket; DNS is asked over UDP as well.
fn listener(sight: &Sight, port: u16) -> io::Result<Option<u32>> {
    let asked = sight.netns().and_then(|netns| {
        let mut sockets = sockets::tcp_at(&netns, port)?;
        sockets.retain(|socket| socket.state == state::LISTEN);
        if port == ebpf_free_iptables::DNS_PORT {
            sockets.extend(sockets::udp_at(&netns, port)?);
        }
        Ok(sockets)
    });
    match asked {
        // Socket statistics are asked from inside, which takes rights even for one's own namespace; the list is for everybody.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => listed(sight, port),
        Err(error) => Err(error),
        Ok(sockets) => Ok(sockets.first().map(|socket| socket.inode)),
    }
}

fn listed(sight: &Sight, port: u16) -> io::Result<Option<u32>> {
    for version in ["tcp", "tcp6"] {
        let table = match sight.read(&format!("/proc/thread-self/net/{version}")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            table => table?,
        };
        if let Some(inode) = table.lines().find_map(|line| listening(line, port)) {
            return Ok(Some(inode));
        }
    }
    Ok(None)
}

/// Reads `number: address:port remote state queues timer retransmissions uid timeout inode` (`proc_net_tcp.rst`).
fn listening(line: &str, port: u16) -> Option<u32> {
    const LISTEN: &str = "0A";
    let words: Vec<&str> = line.split_whitespace().collect();
    let [_, local, _, LISTEN, _, _, _, _, _, inode, ..] = words[..] else { return None };
    let (_, own) = local.rsplit_once(':')?;
    (u16::from_str_radix(own, 16) == Ok(port)).then(|| inode.parse().ok())?
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use culvert_sys::netns::Netns;

    use super::*;
    use crate::check::finding::State;

    fn taken_by(name: &str) -> Taken {
        Taken { port: 15020, by: Some(Process { number: 7, name: name.into() }) }
    }

    #[test]
    fn who_has_a_port_decides() {
        assert_eq!(judge(&taken_by("culvert-node"), "culvert-node").state, State::Ok);
        for other in ["culvert-agent", "ztunnel", "node_exporter"] {
            let verdict = judge(&taken_by(other), "culvert-node");
            assert_eq!(verdict.state, State::Problem, "{other}");
            assert!(verdict.found.contains(&format!("{other} (pid 7)")), "{verdict:?}");
            assert!(verdict.remedy.unwrap().ends_with("kill 7"));
        }
        let hidden = judge(&Taken { port: 15020, by: None }, "culvert-node");
        assert!(hidden.state == State::Problem && hidden.found.contains("needs root"), "{hidden:?}");
    }

    #[test]
    fn only_listeners_count() {
        let netns = Netns::create().unwrap();
        let sight = Sight::of(netns.try_clone().unwrap());
        assert!(taken(&sight, &[15000, 15020]).unwrap().is_empty());
        let _listener = netns.run(|| TcpListener::bind("0.0.0.0:15020")).unwrap().unwrap();
        let found = taken(&sight, &[15000, 15020]).unwrap();
        assert_eq!(listed(&sight, 15020).unwrap(), listener(&sight, 15020).unwrap(), "both ways to look");
        assert_eq!(listed(&sight, 15000).unwrap(), None);
        let udp = |port: u16| netns.run(|| std::net::UdpSocket::bind(("127.0.0.1", port))).unwrap().unwrap();
        let _queries = [udp(15053), udp(15006)];
        let ports: Vec<_> = taken(&sight, &[15006, 15053]).unwrap().iter().map(|taken| taken.port).collect();
        assert_eq!(ports, [15053], "of datagrams, only queries are taken");
        let own = found[0].by.as_ref().map(|process| process.number);
        assert_eq!((found.len(), found[0].port, own), (1, 15020, Some(std::process::id())));
        assert_eq!(of(&NODE, Ok(found), "culvert-node")[0].state, State::Problem);
    }
}
