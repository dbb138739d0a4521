//! A peer that asks for much over hundreds of tunnels, and reads none of it.

use super::*;
use crate::harness::cluster::SOURCE;
use crate::harness::kernel;

const TUNNELS: u64 = 400;

/// What a tunnel holds that its socket does not take, in a small buffer and in a large one.
const SMALL: u64 = 33 << 10;
const LARGE: u64 = 274 << 10;

/// Tunnels of one peer that have a large buffer, and what all need beside: state, streams, and what an allocator may keep.
const MOST_LARGE: u64 = 52;
const BESIDE: u64 = 80 << 10;

/// Asks for bulk with windows as wide as can be.
fn asks(rig: &Rig, source: u16) -> Rogue {
    let mut guest = rig.guest();
    guest.frame(kind::SETTINGS, 0, 0, &[&[0, 4][..], &i32::MAX.to_be_bytes()].concat());
    guest.frame(kind::WINDOW_UPDATE, 0, 0, &(i32::MAX - 65_535).to_be_bytes());
    guest.frame(kind::HEADERS, flag::END_HEADERS, 1, &connect(rig.at(source)));
    guest
}

#[test]
fn a_peer_that_reads_none_of_many_tunnels_costs_little() {
    /// An allocator keeps what it had once, for each thread, and uses it again: never more than one round takes.
    const ROUNDS: usize = 5;
    /// Tunnels that the client keeps, which has moved bulk.
    const OF_CLIENT: usize = 8;
    let rig = Rig::start("hostile-deaf-many").unwrap();
    let Cluster { lab, client, server, outsider, .. } = &rig.cluster;
    // The kernel's part is not what this is about.
    [outsider, server].iter().for_each(|pod| kernel::set(pod, "net.ipv4.tcp_wmem=4096 16384 65536"));
    kernel::set(outsider, "net.ipv4.tcp_rmem=4096 16384 65536");
    let source = lab.serve(server, 0, Behaviour::Source(BULK)).unwrap();
    let mut bystander = rig.bystander();
    let moves = || {
        let mut stream = client.connect(rig.at(SOURCE), SOON).unwrap();
        assert_eq!(bulk::receive(&mut stream).unwrap(), bulk::Digest::of_pattern(BULK));
    };
    moves();
    let (descriptors, memory) = belongings(&rig.proxy);
    let grown = || belongings(&rig.proxy).1.saturating_sub(memory);
    let most = MOST_LARGE * LARGE + TUNNELS * (SMALL + BESIDE);
    let mut kept = Vec::new();
    for _ in 0..ROUNDS {
        let deaf: Vec<Rogue> = (0..TUNNELS).map(|_| asks(&rig, source.port())).collect();
        let is_full = || source.open() as u64 == TUNNELS && grown() > TUNNELS * SMALL;
        lab.wait_until(SOON, "every tunnel holds what nobody reads", is_full).unwrap();
        for _ in 0..3 {
            moves();
            assert_alive(&mut bystander, &[7; 10_000]);
        }
        assert!(grown() < most, "{} bytes of {most}", grown());
        drop(deaf);
        let is_over = || source.open() == 0 && belongings(&rig.proxy).0 <= descriptors + OF_CLIENT;
        lab.wait_until(SOON, "their connections are closed", is_over).unwrap();
        kept.push(grown());
    }
    println!("{kept:?} bytes stay");
    assert!(kept[ROUNDS - 1] < most, "{kept:?} bytes stay, and {most} are enough");
    moves();
}
