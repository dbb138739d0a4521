//! What of the node's memory is in use, and who has asked for it.
//!
//! In goes the sample that `culvert_sys::heap` keeps while it watches; out comes a profile, compressed as `go tool pprof` expects it. Each
//! allocation of the sample stands for others of its size: what is told is an estimate of all.

use std::collections::HashMap;
use std::io::{self, Write as _};
use std::time::{Duration, SystemTime};

use culvert_sys::heap::{Allocation, INTERVAL, Seen};
use flate2::Compression;
use flate2::write::GzEncoder;

use super::modules;
use super::pprof::{self, Contents};

/// Tells what was seen.
pub(super) fn tell(seen: &Seen) -> io::Result<Vec<u8>> {
    let plain = pprof::encode(&Contents {
        units: [("inuse_objects", "count"), ("inuse_space", "bytes")],
        period: (("space", "bytes"), INTERVAL),
        since: SystemTime::now(),
        length: Duration::ZERO,
        stacks: by_stack(&seen.allocations),
        modules: modules::loaded()?,
        comment: (seen.lost > 0).then(|| format!("{} samples were lost", seen.lost)),
    });
    let mut compressed = GzEncoder::new(Vec::new(), Compression::fast());
    compressed.write_all(&plain)?;
    compressed.finish()
}

/// How many allocations there are of each stack, and how many bytes.
fn by_stack(allocations: &[Allocation]) -> Vec<(Box<[u64]>, [u64; 2])> {
    let mut sums: HashMap<&[u64], [f64; 2]> = HashMap::new();
    for Allocation { size, stack } in allocations {
        let [count, bytes] = sums.entry(stack).or_default();
        let stands_for = stands_for(*size);
        *count += stands_for;
        *bytes += stands_for * *size as f64;
    }
    // An address to return to is behind the call; one before it is within.
    let called_from = |stack: &[u64]| stack.iter().map(|address| address.saturating_sub(1)).collect();
    sums.into_iter().map(|(stack, sums)| (called_from(stack), sums.map(|sum| sum.round() as u64))).collect()
}

/// How many allocations of a size there are for one that is kept: the inverse of the probability that one of its bytes was drawn.
fn stands_for(size: u64) -> f64 {
    1.0 / -(-(size.max(1) as f64) / INTERVAL as f64).exp_m1()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_allocation_stands_for_many_and_a_large_one_for_itself() {
        assert!((stands_for(16) * 16.0 / INTERVAL as f64 - 1.0).abs() < 0.01);
        assert!((stands_for(INTERVAL) - 1.582).abs() < 0.001);
        assert!((stands_for(INTERVAL * 100) - 1.0).abs() < 0.000_001);
        assert!(stands_for(0).is_finite());
    }

    #[test]
    fn what_was_asked_for_by_the_same_is_told_as_one() {
        let of = |size, stack: &[u64]| Allocation { size, stack: stack.into() };
        let large = INTERVAL * 100;
        let mut told = by_stack(&[of(large, &[5, 9]), of(large, &[5, 9]), of(large, &[])]);
        told.sort();
        assert_eq!(told, [([].into(), [1, large]), ([4, 8].into(), [2, 2 * large])]);
    }
}
