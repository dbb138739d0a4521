//! Workloads to be drawn by chance, each as often as its capacity says.

use std::sync::Arc;

use crate::workload::Workload;

/// One workload or more.
#[derive(Debug)]
pub(crate) struct Urn {
    workloads: Box<[Arc<Workload>]>,
    shares: Shares,
}

/// How much of the entropy leads to which workload.
#[derive(Debug)]
enum Shares {
    /// The same to each, which is the usual case and needs no memory.
    Equal(u64),
    /// Where the share of each ends.
    Ends(Box<[u64]>),
}

/// How often chance gets to find a workload that is wanted before all are looked at.
const DRAWS: u64 = 8;

impl Urn {
    /// Gives nothing without a workload. Those without capacity are never drawn, unless all are without.
    pub(crate) fn of(workloads: Vec<Arc<Workload>>) -> Option<Self> {
        let first = workloads.first()?.capacity;
        let shares = if workloads.iter().all(|it| it.capacity == first) {
            Shares::Equal(u64::from(first.max(1)))
        } else {
            Shares::Ends(ends(workloads.iter().map(|it| it.capacity)).collect())
        };
        Some(Self { workloads: workloads.into(), shares })
    }

    /// Draws one. Of any run of as many consecutive numbers as there is capacity, each workload has exactly its capacity.
    pub(crate) fn draw(&self, entropy: u64) -> &Arc<Workload> {
        let at = match &self.shares {
            Shares::Equal(share) => usize::try_from(entropy % self.total() / share),
            Shares::Ends(ends) => {
                let left = entropy % self.total();
                Ok(ends.partition_point(|&end| end <= left))
            }
        };
        &self.workloads[at.expect("fewer than there are workloads")]
    }

    /// Draws among those that are `wanted`, in proportion to their capacities; gives nothing when none is.
    ///
    /// Where most are wanted this looks at one or two, whatever their number.
    pub(crate) fn draw_where(
        &self,
        entropy: u64,
        wanted: impl Fn(&Arc<Workload>) -> bool,
    ) -> Option<&Arc<Workload>> {
        let again = (1..DRAWS).map(|nth| mixed(entropy.wrapping_add(nth)));
        let mut drawn = std::iter::once(entropy).chain(again).map(|entropy| self.draw(entropy));
        drawn.find(|it| wanted(it)).or_else(|| self.search(mixed(entropy), wanted))
    }

    fn search(&self, entropy: u64, wanted: impl Fn(&Arc<Workload>) -> bool) -> Option<&Arc<Workload>> {
        let left: Vec<&Arc<Workload>> = self.workloads.iter().filter(|it| wanted(it)).collect();
        let capacity = |it: &&Arc<Workload>| match self.shares {
            Shares::Equal(_) => 1,
            Shares::Ends(_) => it.capacity,
        };
        let ends: Vec<u64> = ends(left.iter().map(capacity)).collect();
        let at = entropy.checked_rem(*ends.last()?)?;
        left.get(ends.partition_point(|&end| end <= at)).copied()
    }

    /// The capacity of all; never 0.
    fn total(&self) -> u64 {
        match &self.shares {
            Shares::Equal(share) => share * self.workloads.len() as u64,
            Shares::Ends(ends) => ends.last().copied().unwrap_or(1),
        }
    }
}

fn ends(capacities: impl Iterator<Item = u32>) -> impl Iterator<Item = u64> {
    capacities.scan(0, |end, capacity| {
        *end += u64::from(capacity);
        Some(*end)
    })
}

/// Gives another number for each number, unlike those for its neighbours (the finaliser of SplitMix64).
fn mixed(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urn(capacities: &[u32]) -> Urn {
        let workload = |(nth, &capacity): (usize, &u32)| {
            Arc::new(Workload { uid: nth.to_string().into(), capacity, ..Workload::default() })
        };
        Urn::of(capacities.iter().enumerate().map(workload).collect()).unwrap()
    }

    fn number(workload: &Workload) -> usize {
        workload.uid.parse().unwrap()
    }

    #[test]
    fn each_has_exactly_its_share() {
        for (capacities, expected) in [
            (&[1][..], &[1][..]),
            (&[7, 7, 7], &[7, 7, 7]),
            (&[0, 0], &[1, 1]),
            (&[1, 4, 0, 2], &[1, 4, 0, 2]),
            (&[0, 3], &[0, 3]),
        ] {
            let urn = urn(capacities);
            let total = expected.iter().sum::<u64>();
            for start in [0, 1, 1000 * total, u64::MAX / total * total - total] {
                let mut counts = vec![0; capacities.len()];
                (start..start + total).for_each(|entropy| counts[number(urn.draw(entropy))] += 1);
                assert_eq!(counts, expected, "{capacities:?} from {start}");
            }
        }
        assert!(Urn::of(Vec::new()).is_none());
    }

    #[test]
    fn large_capacities_are_added_up() {
        let urn = urn(&[u32::MAX, u32::MAX, u32::MAX - 1]);
        let end = u64::from(u32::MAX);
        for (entropy, expected) in
            [(0, 0), (end - 1, 0), (end, 1), (2 * end, 2), (3 * end - 2, 2), (3 * end - 1, 0)]
        {
            assert_eq!(number(urn.draw(entropy)), expected, "{entropy}");
        }
    }

    /// Draws for many numbers; gives how often each came, in percent.
    fn shares(capacities: &[u32], wanted: impl Fn(usize) -> bool) -> Vec<u32> {
        const DRAWN: u32 = 40_000;
        let urn = urn(capacities);
        let mut counts = vec![0; capacities.len()];
        for entropy in 0..DRAWN {
            let Some(drawn) = urn.draw_where(u64::from(entropy), |it| wanted(number(it))) else {
                return Vec::new();
            };
            counts[number(drawn)] += 1;
        }
        counts.iter().map(|count| (count * 100 + DRAWN / 2) / DRAWN).collect()
    }

    #[test]
    fn those_wanted_share_in_proportion() {
        assert_eq!(shares(&[1, 1, 1, 1], |_| true), [25, 25, 25, 25]);
        assert_eq!(shares(&[1, 1, 1, 1], |it| it > 1), [0, 0, 50, 50]);
        assert_eq!(shares(&[5, 1, 3], |it| it > 0), [0, 25, 75]);
        assert_eq!(shares(&[0, 0, 0], |it| it > 0), [0, 50, 50]);
        assert_eq!(shares(&[1, 1], |_| false), [0; 0]);
        assert_eq!(shares(&[1, 0], |it| it == 1), [0; 0]);
    }

    #[test]
    fn a_single_one_is_found_among_many() {
        for capacities in [vec![1; 5000], (1..=5000).collect()] {
            let urn = urn(&capacities);
            for entropy in 0..50 {
                let drawn = urn.draw_where(entropy, |it| number(it) == 4321).unwrap();
                assert_eq!(number(drawn), 4321);
            }
        }
    }
}
