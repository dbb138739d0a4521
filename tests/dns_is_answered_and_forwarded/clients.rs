//! Clients of other makes see the same.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket};

use super::rig::shared;
use super::{SOON, WEB};
use crate::harness::command::run;

/// What a client has understood of an answer: code, flags, and records without their times.
type Understood = (String, BTreeSet<String>, BTreeSet<String>);

/// Reads what dig, or kdig, says.
fn understood(said: &str) -> Option<Understood> {
    let between = |from: &str, to: &str| said.split_once(from)?.1.split_once(to).map(|(it, _)| it.trim());
    let code = between("status: ", ";").map(|it| it.split(',').next().unwrap_or(it))?;
    let flags = between("lags: ", ";")?;
    let records = said.lines().filter(|line| !line.starts_with(';') && !line.trim().is_empty());
    let record = |line: &str| {
        let mut words: Vec<_> = line.split_whitespace().collect();
        words.remove(1);
        // kdig asks in lower case.
        words.join(" ").to_lowercase()
    };
    // What is remembered is not given with authority.
    let flags = flags.split_whitespace().filter(|flag| *flag != "aa").map(str::to_owned).collect();
    Some((code.split_whitespace().next()?.to_owned(), flags, records.map(record).collect()))
}

#[test]
fn kdig_and_dig_agree() {
    let rig = shared();
    for (server, transport) in rig.cluster.ways() {
        // Told not to use TCP, kdig does not even fetch what was cut.
        let transport = transport.trim_start_matches("+notcp");
        for question in [
            &format!("{WEB} A"),
            &format!("{WEB} AAAA"),
            &format!("{WEB} SRV"),
            &format!("{WEB} NS"),
            "wEb A",
            "entry.example A",
            "entry.example TYPE65",
            "known.example A",
            "known.example TXT",
            "known.example MX",
            "many.example A",
            "unknown.example A",
        ] {
            let ask = |program: &str, more: &str| {
                let server = format!("@{server}");
                let words = format!("{program} {more} {transport} {question}");
                let words: Vec<_> = words.split_whitespace().chain([&*server]).collect();
                let said = run(&rig.client, &words).unwrap_or_else(|said| panic!("{words:?}: {said}"));
                understood(&said).unwrap_or_else(|| panic!("{words:?}: {said}"))
            };
            let dig = ask("dig", "+tries=1 +timeout=9 +nocookie +noadflag");
            // EDNS of its own, and an option nobody need understand.
            for more in ["", "+bufsize=1232", "+padding=128", "+cookie"] {
                let kdig = ask("kdig", &format!("+retry=0 +timeout=9 {more}"));
                assert_eq!(kdig, dig, "{question} from {server} {transport} {more}");
            }
        }
    }
}

#[test]
fn many_queries_share_a_connection() {
    let rig = shared();
    let server = format!("@{}", rig.cluster.ip4());
    let names = [WEB, "known.example", "entry.example", "web"].repeat(8);
    let words = ["kdig", "+tcp", "+keepopen", "+short", &server];
    let said = run(&rig.client, &words.into_iter().chain(names.iter().copied()).collect::<Vec<_>>()).unwrap();
    let addresses: Vec<IpAddr> = said.lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(addresses.len(), names.len(), "{said}");
}

/// Some libraries have but one kind of socket, and write IPv4 addresses as IPv6 ones.
#[test]
fn a_client_that_writes_ipv4_addresses_as_ipv6_ones_is_answered() {
    let rig = shared();
    let IpAddr::V4(server) = rig.cluster.ip4() else { panic!("it is one") };
    let socket = rig.client.netns().run(|| UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0))).unwrap().unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    for (name, address) in
        [(&b"\x03web"[..], rig.web.ip4()), (b"\x05known\x07example", [192, 0, 2, 1].into())]
    {
        let query = [b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0", name, b"\0\0\x01\0\x01"].concat();
        socket.send_to(&query, SocketAddr::from((server.to_ipv6_mapped(), 53))).unwrap();
        let mut answer = [0; 512];
        let (length, _) = socket.recv_from(&mut answer).unwrap();
        assert_eq!(answer[..length].last_chunk(), Some(&address.octets()));
    }
}
