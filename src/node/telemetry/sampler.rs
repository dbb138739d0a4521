//! Which traces are kept: decided once for each, from its id alone, so that all who are asked decide alike.

/// Bits of a trace id that are random, as others count on.
const BITS: u32 = 56;

/// Decides by the share of traces that is kept, and by whether whoever called keeps its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sampler {
    /// The least of what is kept.
    threshold: u64,
    follows_parents: bool,
}

impl Sampler {
    /// Keeps all.
    pub(crate) const ALL: Self = Self { threshold: 0, follows_parents: false };
    /// Keeps none.
    pub(crate) const NONE: Self = Self { threshold: 1 << BITS, follows_parents: false };

    /// Keeps a share of all, from 0 to 1.
    pub(crate) fn of(ratio: f64) -> Self {
        let all = (1_u64 << BITS) as f64;
        // Exact: no more bits are set than a float has.
        Self { threshold: ((1.0 - ratio.clamp(0.0, 1.0)) * all) as u64, follows_parents: false }
    }

    /// Keeps what whoever called keeps; of traces that begin here, as before.
    pub(crate) fn or_as_parents_do(self) -> Self {
        Self { follows_parents: true, ..self }
    }

    /// Whether a trace is kept; `parent` is what whoever called says of it.
    pub(crate) fn takes(self, trace: u128, parent: Option<bool>) -> bool {
        match parent {
            Some(parent) if self.follows_parents => parent,
            _ => (trace & u128::from((1_u64 << BITS) - 1)) >= u128::from(self.threshold),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parent_counts_where_it_is_asked_for() {
        let (all, none) = (Sampler::ALL, Sampler::NONE);
        for (sampler, of_its_own, parent_keeps, parent_does_not) in [
            (all, true, true, true),
            (none, false, false, false),
            (all.or_as_parents_do(), true, true, false),
            (none.or_as_parents_do(), false, true, false),
        ] {
            for trace in [0, 1, u128::MAX] {
                assert_eq!(sampler.takes(trace, None), of_its_own, "{sampler:?} {trace}");
                assert_eq!(sampler.takes(trace, Some(true)), parent_keeps, "{sampler:?} {trace}");
                assert_eq!(sampler.takes(trace, Some(false)), parent_does_not, "{sampler:?} {trace}");
            }
        }
    }

    #[test]
    fn a_ratio_is_a_share_of_what_is_random_in_an_id() {
        assert_eq!((Sampler::of(1.0), Sampler::of(0.0)), (Sampler::ALL, Sampler::NONE));
        let quarter = Sampler::of(0.25);
        let taken = |trace| quarter.takes(trace, None);
        let three_quarters = 3_u128 << (BITS - 2);
        assert!(taken(three_quarters) && !taken(three_quarters - 1));
        assert!(!taken(u128::MAX << BITS), "what is not random does not count");
        let many = (0..10_000).filter(|_| taken(rand::random())).count();
        assert!((2_200..2_800).contains(&many), "{many}");
    }
}
