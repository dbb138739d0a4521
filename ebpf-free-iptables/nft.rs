//! What the kernel tells of its `nf_tables` rules without a tool: how often they have changed, and which chains there are.
//!
//! In goes a namespace; out come facts. What the rules mean is read from what the tools print ([`crate::parse`]).

use std::io;

use culvert_sys::netns::Netns;
use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP, NlasIterator};
use nix::errno::Errno;

use crate::netlink::{Answer, Netlink, Question, consistently};

// linux/netfilter/nfnetlink.h and nf_tables.h
const SUBSYSTEM: u16 = 10 << 8;
const GET_CHAIN: u16 = SUBSYSTEM | 4;
const GET_GENERATION: u16 = SUBSYSTEM | 16;
const GENERATION_ID: u16 = 1;
const CHAIN_TABLE: u16 = 1;
const CHAIN_NAME: u16 = 3;
/// `struct nfgenmsg`: an address family, a version and an identity.
const HEADER: [u8; 4] = [0; 4];
/// `NFPROTO_IPV4` and `NFPROTO_IPV6`.
const IPV4: u8 = 2;
const IPV6: u8 = 10;

/// The number of the rule set: another one after every change to anything in it. `None` when the kernel has no
/// `nf_tables`.
pub(crate) fn generation(netns: &Netns) -> io::Result<Option<u32>> {
    let mut generation = None;
    ask(netns, Question { kind: GET_GENERATION, flags: NLM_F_ACK, body: &HEADER }, |answer| {
        let number = attribute(answer, GENERATION_ID).and_then(<[u8]>::first_chunk);
        generation = number.map(|bytes| u32::from_be_bytes(*bytes));
    })?;
    Ok(generation)
}

/// Hands over the table and the name of every chain that `iptables` can have made; some again if they change meanwhile.
pub(crate) fn each_chain(netns: &Netns, mut each: impl FnMut(&[u8], &[u8])) -> io::Result<()> {
    let question = Question { kind: GET_CHAIN, flags: NLM_F_DUMP, body: &HEADER };
    consistently(|| {
        ask(netns, question, |answer| {
            let of_iptables = answer.body.first().is_some_and(|family| [IPV4, IPV6].contains(family));
            let names = attribute(answer, CHAIN_TABLE).zip(attribute(answer, CHAIN_NAME));
            if let (true, Some((table, name))) = (of_iptables, names) {
                each(text(table), text(name));
            }
        })
    })
}

/// Asks; a kernel that does not know what this is about has nothing to tell.
fn ask(netns: &Netns, question: Question<'_>, each: impl FnMut(Answer<'_>)) -> io::Result<()> {
    let known = Netlink::netfilter(netns).and_then(|mut netlink| netlink.ask(question, each));
    let unknown = [Errno::EPROTONOSUPPORT, Errno::EINVAL, Errno::EOPNOTSUPP];
    match known {
        Err(error) if unknown.iter().any(|errno| error.raw_os_error() == Some(*errno as i32)) => Ok(()),
        other => other,
    }
}

fn attribute(answer: Answer<'_>, kind: u16) -> Option<&[u8]> {
    let attributes = answer.body.get(HEADER.len()..)?;
    let found = NlasIterator::new(attributes).flatten().find(|one| one.kind() == kind)?;
    let length = usize::from(found.length());
    found.into_inner().get(4..length)
}

/// Without the zero byte at its end.
fn text(bytes: &[u8]) -> &[u8] {
    bytes.strip_suffix(b"\0").unwrap_or(bytes)
}
