//! Streams that are filled in turn move in turn.

use super::pair::{LENT, Pair, Plans};
use super::stream::{Plan, Then};
use super::streams::KINDS;

/// Eight streams with more to send than the windows allow at once, and two readers that never read.
#[test]
fn nobody_starves() {
    let way = |length| Plan { length, then: Then::End };
    let plans: Plans = (0..10).map(|_| [way(3_000_000), way(0)]).collect();
    let mut pair = Pair::new(KINDS[0], LENT[0], &plans);
    let stalled = |stream: u32| stream == 1 || stream == 3;
    for _ in 0..300 {
        pair.client.open();
        pair.client.send(40_000);
        pair.server.send(40_000);
        pair.server.inbox.append(&mut pair.client.write(300_000));
        pair.server.take();
        pair.server.consume(usize::MAX, |stream| !stalled(stream.0));
        pair.client.inbox.append(&mut pair.server.write(300_000));
        pair.client.take();
    }
    let came: Vec<usize> = pair.server.legs.values().map(|leg| leg.came).collect();
    let (least, most) = (came[2..].iter().min().unwrap(), came[2..].iter().max().unwrap());
    assert!(*least > 1_000_000 && most - least < 500_000, "{came:?}");
    assert!(came[..2].iter().all(|came| *came < 128 * 1024), "{came:?}");
}
