//! Many streams at once over a wire that stalls and cuts as it pleases.

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use super::pair::{End, LENT, Pair, Plans};
use super::stream::{Plan, Then};
use crate::tunnel::record::{Layer, Suite};

pub(super) const KINDS: [(Layer, Suite); 4] = [
    (Layer::Tls13, Suite::Aes128Gcm),
    (Layer::Tls13, Suite::Aes256Gcm),
    (Layer::Tls12, Suite::Aes128Gcm),
    (Layer::Tls12, Suite::Aes256Gcm),
];

/// How a case is played.
pub(super) struct Case {
    pub(super) random: SmallRng,
    pub(super) pair: Pair,
    kind: (Layer, Suite),
    /// How much is done at once, in octets.
    pub(super) grain: usize,
    /// Octets that went over the wire.
    pub(super) carried: usize,
}

impl Case {
    /// Streams send up to `most` octets each way.
    pub(super) fn new(seed: u64, most: usize) -> Self {
        let mut random = SmallRng::seed_from_u64(seed);
        let grain = *[1, 20, 1_000, 20_000, 262_144].choose(&mut random).unwrap();
        let plans = plans(&mut random, most.min(1_000 * grain));
        let kind = KINDS[seed as usize % KINDS.len()];
        let lent = LENT[seed as usize % LENT.len()];
        Self { random, pair: Pair::new(kind, lent, &plans), kind, grain, carried: 0 }
    }

    /// Has keys change often, where they can.
    pub(super) fn limit_records(&mut self) {
        if self.kind.0 == Layer::Tls13 {
            self.pair.client.limit_records(128);
            self.pair.server.limit_records(128);
        }
    }

    /// Everything once, or not at all, each to some extent.
    pub(super) fn turn(&mut self) {
        self.pair.client.open();
        self.step(|pair| [&mut pair.client, &mut pair.server]);
        self.step(|pair| [&mut pair.server, &mut pair.client]);
    }

    fn step(&mut self, ends: impl FnOnce(&mut Pair) -> [&mut End; 2]) {
        let Self { random, pair, grain, carried, .. } = self;
        let [end, other] = ends(pair);
        let some = |random: &mut SmallRng| random.random_range(1..=*grain * 2);
        if random.random_ratio(3, 4) {
            end.take();
        }
        if random.random_ratio(1, 2) {
            let most = some(random);
            end.consume(most, |_| random.random_ratio(1, 2));
        }
        if random.random_ratio(1, 2) {
            end.send(some(random));
        }
        if random.random_ratio(3, 4) {
            let mut written = end.write(some(random));
            *carried += written.len();
            other.inbox.append(&mut written);
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.pair.is_over() && self.is_quiet()
    }

    /// No streams, and none to come.
    pub(super) fn has_left(&mut self) -> bool {
        let Pair { client, server } = &mut self.pair;
        // The end that did not leave only knows that the other one has.
        (client.engine().http2().is_over() || server.engine().http2().is_over())
            && [client.engine(), server.engine()].iter().all(|engine| engine.http2().streams() == 0)
            && self.is_quiet()
    }

    fn is_quiet(&self) -> bool {
        let Pair { client, server } = &self.pair;
        [client, server].iter().all(|end| end.inbox.is_empty() && !end.has_output())
    }
}

/// What streams do: little or much, to the end or not.
fn plans(random: &mut SmallRng, most: usize) -> Plans {
    let count = random.random_range(1..=30);
    let mut plan = || {
        let most = most.min(*[0, 1, 100, 20_000, 200_000].choose(random).unwrap());
        let then = if random.random_ratio(1, 5) { Then::Reset } else { Then::End };
        Plan { length: random.random_range(0..=most), then }
    };
    (0..count).map(|_| [plan(), plan()]).collect()
}

/// Turns after which a case that is not over never will be.
pub(super) const MANY: usize = 2_000_000;

#[test]
fn what_was_sent_comes() {
    let mut changes = 0;
    for seed in 0..60 {
        println!("seed {seed}");
        let mut case = Case::new(seed, 200_000);
        case.limit_records();
        let over = (0..MANY).any(|_| {
            case.turn();
            case.is_over()
        });
        assert!(over, "seed {seed} waits for ever");
        case.pair.check();
        changes += case.pair.client.changes() + case.pair.server.changes();
    }
    assert!(changes > 20, "{changes}");
}
