//! Payload that can be told from any other: every octet depends on the direction it is sent in and on its place there.

/// Octets from `at` on.
pub(crate) fn make(key: u64, at: usize, length: usize) -> Vec<u8> {
    (at..at + length).map(|at| octet(key, at)).collect()
}

/// Whether these octets are those from `at` on.
pub(crate) fn is(key: u64, at: usize, octets: &[u8]) -> bool {
    octets.iter().zip(at..).all(|(found, at)| *found == octet(key, at))
}

fn octet(key: u64, at: usize) -> u8 {
    let mixed = (at as u64 ^ key).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed.to_be_bytes()[0]
}
