//! The sockets in a pod's namespace, as the kernel lists them: who takes what the rules capture, and what is still carried.
//!
//! In go port numbers, out come yes and no. Whose sockets they are is not looked at.

use std::fs;
use std::io;

use culvert_sys::netns::Netns;
use ebpf_free_iptables::{DNS_PORT, INBOUND_PORT, OUTBOUND_PORT, TUNNEL_PORT};

/// Where captured connections end, and the tunnels in which others come to the pod.
pub(crate) const CAPTURED: [u16; 3] = [OUTBOUND_PORT, INBOUND_PORT, TUNNEL_PORT];

const TIME_WAIT: &str = "06";
const LISTEN: &str = "0A";

/// Whether somebody takes captured queries.
pub(crate) fn takes_queries(netns: &Netns) -> io::Result<bool> {
    any_of(netns, ["udp", "udp6"], |socket| socket.port == DNS_PORT)
}

/// Whether somebody carries connections that were captured.
pub(crate) fn carries_connections(netns: &Netns) -> io::Result<bool> {
    any_of(netns, ["tcp", "tcp6"], |socket| {
        CAPTURED.contains(&socket.port) && ![TIME_WAIT, LISTEN].contains(&socket.state)
    })
}

/// Whether what is said in the namespace can leave it. The runtime takes a pod's interfaces away with the pod; who held the namespace
/// open until then has sockets there that nobody hears any more.
pub(crate) fn is_plugged_in(netns: &Netns) -> io::Result<bool> {
    let interfaces = netns.run(|| fs::read_to_string("/proc/thread-self/net/dev"))??;
    // Two lines of headings, then `name: counters`.
    let mut names = interfaces.lines().skip(2).filter_map(|line| line.split_once(':'));
    Ok(names.any(|(name, _)| name.trim() != "lo"))
}

fn any_of(netns: &Netns, tables: [&str; 2], wanted: impl Fn(Socket<'_>) -> bool) -> io::Result<bool> {
    for table in netns.run(|| tables.map(table))? {
        if sockets(&table?).any(&wanted) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Reads a table of the namespace of the calling thread; one of a version of IP the kernel does not have is empty.
fn table(name: &str) -> io::Result<String> {
    match fs::read_to_string(format!("/proc/thread-self/net/{name}")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        table => table,
    }
}

/// A line of a table.
struct Socket<'t> {
    /// The local one.
    port: u16,
    state: &'t str,
}

/// Reads `number: local-address:port remote-address:port state`, in hexadecimal, below a line of headings (`proc_net_tcp.rst`).
fn sockets(table: &str) -> impl Iterator<Item = Socket<'_>> {
    table.lines().skip(1).filter_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        let (_, port) = words.next()?.rsplit_once(':')?;
        Some(Socket { port: u16::from_str_radix(port, 16).ok()?, state: words.nth(1)? })
    })
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener, TcpStream, UdpSocket};
    use std::process::Command;

    use culvert_sys::tcp;

    use super::*;

    /// A namespace whose loopback interface is up.
    fn netns() -> Netns {
        let netns = Netns::create().unwrap();
        let up = || Command::new("ip").args(["link", "set", "lo", "up"]).status().unwrap();
        assert!(netns.run(up).unwrap().success());
        netns
    }

    #[test]
    fn queries_are_taken_while_somebody_has_the_port() {
        let netns = Netns::create().unwrap();
        let taken = || takes_queries(&netns).unwrap();
        assert!(!taken());
        // Queries are sent from ports too.
        let bind = |port: u16| netns.run(move || UdpSocket::bind(("0.0.0.0", port))).unwrap().unwrap();
        let other = bind(DNS_PORT + 1);
        assert!(!taken());
        let socket = bind(DNS_PORT);
        assert!(taken());
        drop((socket, other));
        assert!(!taken());
    }

    #[test]
    fn a_pod_is_plugged_in_until_its_interface_is_taken_away() {
        let netns = netns();
        assert!(!is_plugged_in(&netns).unwrap());
        let ip = |words: &[&str]| {
            let run = || Command::new("ip").args(words).status().unwrap();
            assert!(netns.run(run).unwrap().success(), "{words:?}");
        };
        ip(&["link", "add", "eth0", "type", "veth", "peer", "name", "outside"]);
        assert!(is_plugged_in(&netns).unwrap());
        ip(&["link", "del", "eth0"]);
        assert!(!is_plugged_in(&netns).unwrap());
    }

    #[test]
    fn connections_are_carried_from_when_they_come_in_until_they_are_over() {
        let netns = netns();
        let carried = || carries_connections(&netns).unwrap();
        for ip in [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()] {
            for port in CAPTURED {
                let listener = netns.run(|| TcpListener::bind((ip, port))).unwrap().unwrap();
                assert!(!carried(), "nobody has come");
                let client = netns.run(|| TcpStream::connect((ip, port))).unwrap().unwrap();
                assert!(carried(), "{ip} {port}: it waits to be accepted");
                let (server, _) = listener.accept().unwrap();
                drop((client, listener));
                assert!(carried(), "{ip} {port}: one end is left");
                tcp::reset_on_close(&server).unwrap();
                drop(server);
                assert!(!carried(), "{ip} {port}: it is over");
            }
        }
        let listener = netns.run(|| TcpListener::bind("127.0.0.1:0")).unwrap().unwrap();
        let port = listener.local_addr().unwrap().port();
        let _other = netns.run(|| TcpStream::connect(("127.0.0.1", port))).unwrap().unwrap();
        assert!(!carried(), "it is the application's");
    }
}
