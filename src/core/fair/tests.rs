use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::*;

/// Those who share something.
struct World {
    all: u64,
    has: Vec<u64>,
}

impl World {
    fn new(all: u64, sharers: usize) -> Self {
        Self { all, has: vec![0; sharers] }
    }

    fn free(&self) -> u64 {
        self.all.checked_sub(self.has.iter().sum()).expect("nobody has what is not there")
    }

    /// One more for somebody, if he may.
    fn take(&mut self, who: usize) -> bool {
        let may = admits(self.has[who], 1, self.free());
        self.has[who] += u64::from(may);
        may
    }

    /// These take all they can get, in turn.
    fn exhaust(&mut self, greedy: &[usize]) {
        while greedy.iter().filter(|who| self.take(**who)).count() > 0 {}
    }
}

#[test]
fn the_greedy_get_equal_parts_and_leave_one_more() {
    for (all, greedy, each) in [(100, 1, 50), (99, 2, 33), (100, 3, 25), (1000, 9, 100), (1, 1, 1), (2, 1, 1)]
    {
        let mut world = World::new(all, greedy);
        let who: Vec<_> = (0..greedy).collect();
        world.exhaust(&who);
        assert!(world.has.iter().all(|has| has.abs_diff(each) <= 1), "{all} for {greedy}: {:?}", world.has);
        assert!(world.free() + 1 >= each || all == 1, "{all} for {greedy}: {} is left", world.free());
    }
}

/// In whatever order they come and go, who has taken something has left as much, and all of them leave one part in two for each.
#[test]
fn there_is_room_for_a_newcomer_whatever_others_do() {
    for seed in 0..50 {
        let mut dice = SmallRng::seed_from_u64(seed);
        let sharers = dice.random_range(2..8);
        let all = dice.random_range(20..500) << sharers;
        let mut world = World::new(all, sharers + 1);
        for _ in 0..300 {
            let who = dice.random_range(0..sharers);
            if dice.random_ratio(1, 4) {
                world.has[who] -= dice.random_range(0..=world.has[who]);
            } else if dice.random_ratio(1, 4) {
                world.exhaust(&[who]);
            } else if world.take(who) {
                assert!(world.has[who] <= world.free() + 1, "seed {seed}: {:?} of {all}", world.has);
            }
        }
        let everybody: Vec<_> = (0..sharers).collect();
        world.exhaust(&everybody);
        // Each of them may have rounded up once.
        let left = world.free() + sharers as u64;
        assert!(left >= all >> sharers, "seed {seed}: {:?} of {all}", world.has);
        assert!(world.take(sharers), "seed {seed}: a newcomer has nothing");
    }
}

/// Who was greedy when nobody else was there gives nothing back, and takes nothing more while others come up to him.
#[test]
fn who_has_more_than_others_waits_for_them() {
    let mut world = World::new(90, 2);
    world.exhaust(&[0]);
    assert_eq!(world.has, [45, 0]);
    world.exhaust(&[0, 1]);
    assert_eq!(world.has, [45, 23]);
    world.has[0] = 20;
    world.exhaust(&[0, 1]);
    assert!(world.has.iter().all(|has| (29..=31).contains(has)), "{:?}", world.has);
}

#[test]
fn the_most_is_where_one_comes_to() {
    for all in 0..60 {
        for others in 0..=all {
            let mut world = World::new(all, 2);
            world.has[1] = others;
            let before = most(0, world.free());
            world.exhaust(&[0]);
            assert_eq!(world.has[0], before, "{all} with {others} taken");
            assert_eq!(within(world.has[0], world.free()), 0, "{all} with {others} taken");
        }
    }
}

/// Peers share what their pod may have as pods share all there is.
#[test]
fn within_a_share_the_same_holds() {
    let (all, mut peers) = (1000_u64, [0_u64; 3]);
    for greedy in 1..=peers.len() {
        loop {
            let pod: u64 = peers.iter().sum();
            let left = within(pod, all - pod);
            let takes = (0..greedy).find(|peer| admits(peers[*peer], 1, left) && admits(pod, 1, all - pod));
            let Some(peer) = takes else { break };
            peers[peer] += 1;
        }
        let pod: u64 = peers.iter().sum();
        assert!(within(pod, all - pod) > 60, "{greedy} greedy ones leave room: {peers:?}");
    }
    assert!(peers[0].abs_diff(250) <= 1, "the first had a half of the half: {peers:?}");
}
