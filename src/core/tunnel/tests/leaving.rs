//! An end leaves while streams are begun and ended: those that were begun are served to their end, and then all is over.

use rand::RngExt;

use super::streams::{Case, MANY};
use crate::tunnel::http2::Role;

/// Plays a case in which one end leaves at some time; says how many streams there were.
fn play(seed: u64, leaver: Role) -> usize {
    let mut case = Case::new(seed, 5_000);
    let when = case.random.random_range(0..200);
    for turn in 0..MANY {
        if turn == when {
            let Case { pair, .. } = &mut case;
            let end = if leaver == Role::Client { &mut pair.client } else { &mut pair.server };
            end.engine().leave();
        }
        case.turn();
        if turn > when && case.has_left() {
            case.pair.check();
            return case.pair.client.legs.len();
        }
    }
    panic!("seed {seed} waits for ever");
}

#[test]
fn nothing_is_lost_when_an_end_leaves() {
    for leaver in [Role::Client, Role::Server] {
        let streams: Vec<usize> = (200..240).map(|seed| play(seed, leaver)).collect();
        // Otherwise there was nothing to lose.
        assert!(streams.iter().filter(|streams| **streams > 2).count() > 20, "{streams:?}");
    }
}
