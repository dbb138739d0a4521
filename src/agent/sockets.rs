//! The sockets in a pod's namespace, as the kernel lists them: who takes what the rules capture, and what is still carried.
//!
//! In go port numbers, out come yes and no. Whose sockets they are is not looked at.

use std::fs;
use std::io;

use culvert_sys::netns::Netns;
use culvert_sys::sockets::{self, Socket, state};
use ebpf_free_iptables::{DNS_PORT, INBOUND_PORT, OUTBOUND_PORT, TUNNEL_PORT};

/// Where captured connections end, and the tunnels in which others come to the pod.
const CAPTURED: [u16; 3] = [OUTBOUND_PORT, INBOUND_PORT, TUNNEL_PORT];

/// What is on its way out.
const ENDING: [u8; 4] = [state::FIN_WAIT_1, state::FIN_WAIT_2, state::LAST_ACK, state::CLOSING];

/// Whether somebody takes captured connections.
pub(crate) fn takes_connections(netns: &Netns) -> io::Result<bool> {
    let listening = sockets::listening_ports(netns)?;
    Ok(CAPTURED.iter().all(|port| listening.contains(port)))
}

/// Whether somebody takes captured queries.
pub(crate) fn takes_queries(netns: &Netns) -> io::Result<bool> {
    Ok(!sockets::udp_at(netns, DNS_PORT)?.is_empty())
}

/// Whether somebody carries connections that were captured.
pub(crate) fn carries_connections(netns: &Netns) -> io::Result<bool> {
    for port in CAPTURED {
        let is_carried = |socket: &Socket| {
            ![state::TIME_WAIT, state::CLOSE, state::LISTEN].contains(&socket.state) && !is_last_word(socket)
        };
        if sockets::tcp_at(netns, port)?.iter().any(is_carried) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether it is a tunnel nobody has any more, which only says its end: to a peer that is gone, for minutes. Connections that were
/// redirected count until the application has closed them as well.
fn is_last_word(socket: &Socket) -> bool {
    socket.port == TUNNEL_PORT && !socket.is_held && ENDING.contains(&socket.state)
}

/// Whether what is said in the namespace can leave it. The runtime takes a pod's interfaces away with the pod; who held the namespace
/// open until then has sockets there that nobody hears any more.
pub(crate) fn is_plugged_in(netns: &Netns) -> io::Result<bool> {
    let interfaces = netns.run(|| fs::read_to_string("/proc/thread-self/net/dev"))??;
    // Two lines of headings, then `name: counters`.
    let mut names = interfaces.lines().skip(2).filter_map(|line| line.split_once(':'));
    Ok(names.any(|(name, _)| name.trim() != "lo"))
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener, TcpStream, UdpSocket};
    use std::process::Command;
    use std::time::{Duration, Instant};

    use culvert_sys::tcp;

    use super::*;

    /// A namespace whose loopback interface is up.
    fn netns() -> Netns {
        let netns = Netns::create().unwrap();
        let up = || Command::new("ip").args(["link", "set", "lo", "up"]).status().unwrap();
        assert!(netns.run(up).unwrap().success());
        netns
    }

    /// Waits for it: a process that another test is just starting has all descriptors of this one until it is another program.
    fn soon(what: &str, is: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !is() {
            assert!(Instant::now() < deadline, "{what}");
            std::thread::yield_now();
        }
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
        soon("nobody has the port any more", || !taken());
    }

    #[test]
    fn a_tunnel_whose_peer_is_gone_is_over_when_it_is_closed_and_a_redirected_connection_is_not() {
        for (port, is_carried) in [(TUNNEL_PORT, false), (INBOUND_PORT, true)] {
            let (pod, peer) = (netns(), netns());
            link(&pod, &peer);
            let listener = pod.run(|| TcpListener::bind(("10.0.0.1", port))).unwrap().unwrap();
            let client = peer.run(|| TcpStream::connect(("10.0.0.1", port))).unwrap().unwrap();
            let (server, _) = listener.accept().unwrap();
            drop(listener);
            // What is sent from here on is never acknowledged.
            ip(&peer, "link set eth0 down");
            server.shutdown(std::net::Shutdown::Write).unwrap();
            assert!(carries_connections(&pod).unwrap(), "{port}: somebody may still read from it");
            drop(server);
            soon(&format!("{port}: it is closed"), || carries_connections(&pod).unwrap() == is_carried);
            drop(client);
        }
    }

    /// Makes two pods neighbours: 10.0.0.1 and 10.0.0.2.
    fn link(one: &Netns, other: &Netns) {
        let there = other.path();
        ip(one, &format!("link add eth0 type veth peer name eth0 netns {}", there.display()));
        for (netns, address) in [(one, "10.0.0.1/24"), (other, "10.0.0.2/24")] {
            ip(netns, &format!("addr add {address} dev eth0"));
            ip(netns, "link set eth0 up");
        }
    }

    fn ip(netns: &Netns, words: &str) {
        let run = || Command::new("ip").args(words.split(' ')).status().unwrap();
        assert!(netns.run(run).unwrap().success(), "{words}");
    }

    #[test]
    fn a_pod_is_plugged_in_until_its_interface_is_taken_away() {
        let netns = netns();
        assert!(!is_plugged_in(&netns).unwrap());
        ip(&netns, "link add eth0 type veth peer name outside");
        assert!(is_plugged_in(&netns).unwrap());
        ip(&netns, "link del eth0");
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
                soon(&format!("{ip} {port}: it is over"), || !carried());
            }
        }
        let listener = netns.run(|| TcpListener::bind("127.0.0.1:0")).unwrap().unwrap();
        let port = listener.local_addr().unwrap().port();
        let _other = netns.run(|| TcpStream::connect(("127.0.0.1", port))).unwrap().unwrap();
        assert!(!carried(), "it is the application's");
    }
}
