//! What the legacy tables of a namespace hold, without running a tool: to compare, and to find our chains.
//!
//! In go a namespace and an IP version; out come the entries of the tables that are there. Tables are never made by
//! looking. What the rules mean is read from what the tools print ([`crate::parse`]), not here.

use std::io;
use std::ops::Range;

use culvert_sys::netns::Netns;
use culvert_sys::xtables::{Tables, Version};

use crate::kernel;
use crate::rule::Family;

/// One rule, or the beginning of a chain, as the kernel keeps it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry<'e> {
    bytes: &'e [u8],
    layout: Layout,
}

/// Where things are in an entry (`struct ipt_entry`, `struct ip6t_entry`).
#[derive(Debug, Clone, Copy)]
struct Layout {
    /// Two bytes: where the target is. The two after them: how long the entry is.
    target: usize,
    /// What the kernel writes for itself: where the entry is reached from, and the counters.
    kernels_own: (usize, usize),
}

impl Layout {
    const V4: Self = Self::behind_addresses(84);
    const V6: Self = Self::behind_addresses(136);

    /// After the addresses, interfaces and protocol that every entry begins with, and four bytes without use.
    const fn behind_addresses(length: usize) -> Self {
        let target = length + 4;
        let reached_from = target + 4;
        let counters = (reached_from + 4).next_multiple_of(align_of::<u64>());
        Self { target, kernels_own: (reached_from, counters + 2 * size_of::<u64>()) }
    }

    fn of(family: Family) -> Self {
        match family {
            Family::V4 => Self::V4,
            Family::V6 => Self::V6,
        }
    }
}

/// The name of the target that is the beginning of a chain, or the end of a table.
const CHAIN: &[u8] = b"ERROR";
/// Where its name is in a target (`struct xt_entry_target`), and where a chain's (`struct xt_error_target`).
const TARGET_NAME: Range<usize> = 2..31;
const CHAIN_NAME: Range<usize> = 32..62;

/// Hands over every entry of every table that is there, with the table's name.
pub(crate) fn each_entry(
    netns: &Netns,
    family: Family,
    mut each: impl FnMut(&str, Entry<'_>),
) -> io::Result<()> {
    let names = kernel::legacy_tables(netns, family)?;
    if names.is_empty() {
        return Ok(());
    }
    let version = match family {
        Family::V4 => Version::V4,
        Family::V6 => Version::V6,
    };
    let tables = netns.run(|| Tables::open(version))??;
    for name in &names {
        match tables.entries(name) {
            Ok(bytes) => split(&bytes, Layout::of(family), |entry| each(name, entry))?,
            // It went meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn split(mut bytes: &[u8], layout: Layout, mut each: impl FnMut(Entry<'_>)) -> io::Result<()> {
    while !bytes.is_empty() {
        let length = number(bytes, layout.target + 2).filter(|length| *length >= layout.kernels_own.1);
        let split = length.and_then(|length| bytes.split_at_checked(length));
        let Some((entry, rest)) = split else { return Err(io::ErrorKind::InvalidData.into()) };
        each(Entry { bytes: entry, layout });
        bytes = rest;
    }
    Ok(())
}

impl<'e> Entry<'e> {
    /// All but what the kernel writes for itself, in two pieces.
    pub(crate) fn content(&self) -> [&'e [u8]; 2] {
        let (from, to) = self.layout.kernels_own;
        [&self.bytes[..from], &self.bytes[to..]]
    }

    /// The name of the chain that begins here, if one does.
    pub(crate) fn chain(&self) -> Option<&'e [u8]> {
        let target = self.bytes.get(number(self.bytes, self.layout.target)?..)?;
        let is_chain = text(target.get(TARGET_NAME)?) == CHAIN;
        is_chain.then_some(text(target.get(CHAIN_NAME)?))
    }
}

fn number(bytes: &[u8], at: usize) -> Option<usize> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u16::from_ne_bytes(*bytes).into())
}

/// Up to the zero byte at its end.
fn text(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An entry of IPv4 whose target is `name`, followed by `argument`.
    fn entry(name: &[u8], argument: &[u8]) -> Vec<u8> {
        let mut bytes = vec![7; 112];
        let mut target = vec![0; 32 + 32];
        target[TARGET_NAME][..name.len()].copy_from_slice(name);
        target[32..][..argument.len()].copy_from_slice(argument);
        bytes.extend(&target);
        bytes[88..90].copy_from_slice(&112_u16.to_ne_bytes());
        let length = u16::try_from(bytes.len()).unwrap();
        bytes[90..92].copy_from_slice(&length.to_ne_bytes());
        bytes
    }

    fn chains(bytes: &[u8]) -> io::Result<Vec<Option<String>>> {
        let mut chains = Vec::new();
        let owned = |name: &[u8]| String::from_utf8(name.to_vec()).unwrap();
        split(bytes, Layout::V4, |entry| chains.push(entry.chain().map(owned)))?;
        Ok(chains)
    }

    #[test]
    fn chains_begin_with_their_name() {
        let table = [entry(b"REDIRECT", b"x"), entry(b"ERROR", b"ISTIO_OUTPUT"), entry(b"", b"")].concat();
        assert_eq!(chains(&table).unwrap(), [None, Some("ISTIO_OUTPUT".to_owned()), None]);
    }

    #[test]
    fn a_table_that_was_cut_off_is_no_smaller_table() {
        let table = [entry(b"ERROR", b"A"), entry(b"ERROR", b"B")].concat();
        for length in 1..table.len() {
            let whole = length == table.len() / 2;
            assert_eq!(chains(&table[..length]).is_ok(), whole, "cut to {length}");
        }
    }

    #[test]
    fn entries_that_say_they_have_no_length_are_refused() {
        let mut table = entry(b"ERROR", b"A");
        table[90..92].copy_from_slice(&0_u16.to_ne_bytes());
        assert_eq!(chains(&table).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn targets_that_are_elsewhere_are_no_chains() {
        for at in [175_u16, 176, u16::MAX] {
            let mut table = entry(b"ERROR", b"A");
            table[88..90].copy_from_slice(&at.to_ne_bytes());
            assert_eq!(chains(&table).unwrap(), [None]);
        }
    }

    #[test]
    fn counters_are_not_content() {
        let (one, mut other) = (entry(b"ERROR", b"A"), entry(b"ERROR", b"A"));
        other[92..112].fill(9);
        let content = |bytes: &[u8]| Entry { bytes, layout: Layout::V4 }.content().concat();
        assert_eq!(content(&one), content(&other));
        other[91] = 9;
        assert_ne!(content(&one), content(&other));
    }
}
