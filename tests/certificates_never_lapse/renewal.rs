//! Certificates are renewed while they are valid, and what happens when they cannot be.

use std::time::Duration;

use tonic::Status;

use crate::harness::authority::Asked;
use crate::harness::calls::{assert_all_served, call_meanwhile};
use crate::harness::scripted::Rig;
use crate::harness::talk::{Ending, SOON};

/// How soon a connection notices that the authority is well again: a second between attempts, and the attempt.
const AT_ONCE: Duration = Duration::from_millis(2500);

fn gaps(asked: &[Asked]) -> Vec<f64> {
    asked.windows(2).map(|pair| (pair[1].at - pair[0].at).as_secs_f64()).collect()
}

/// Authorities date certificates back by two minutes; half of that life is over before a short one arrives.
#[test]
fn a_short_life_that_is_dated_back_makes_no_storm_and_no_gap() {
    const LIFE: Duration = Duration::from_secs(4);
    let rig = Rig::new("ca-short");
    rig.ca.sign_for(LIFE);
    let _running = rig.run(rig.launch());
    let identities = [rig.client.identity(), rig.server.identity()];
    let calls = call_meanwhile(&rig.client, &rig.server, || {
        for identity in &identities {
            rig.ca.wait_for(identity, 4);
        }
    });
    assert_all_served(&calls);
    for identity in &identities {
        let gaps = gaps(&rig.ca.asked_for(identity));
        // Half of what remains, and up to a fifth of that longer. Certificates count in seconds.
        assert!(gaps.iter().all(|gap| (1.4..3.2).contains(gap)), "{identity}: {gaps:?}");
    }
}

#[test]
fn a_life_that_is_all_but_over_is_renewed_once_a_second_at_most() {
    let rig = Rig::new("ca-tiny");
    rig.ca.sign_for(Duration::from_secs(2));
    rig.lab.start(rig.launch()).unwrap();
    let _stream = rig.ads.sync(&rig.told());
    let gaps = gaps(&rig.ca.wait_for(&rig.client.identity(), 4));
    assert!(gaps.iter().all(|gap| *gap > 0.9), "{gaps:?}");
}

#[test]
fn a_certificate_is_used_until_its_end_and_a_recovered_authority_is_noticed_at_once() {
    const LIFE: Duration = Duration::from_secs(6);
    let rig = Rig::new("ca-end");
    rig.ca.sign_for(LIFE);
    let (_stream, program) = rig.run(rig.launch());
    let identity = rig.client.identity();
    let serial = || rig.certificate(&identity)["certChain"][0]["serialNumber"].clone();
    let held = serial();
    rig.ca.refuse(Status::unavailable("the authority has a headache"));
    let first = rig.ca.asked_for(&identity)[0].at;
    rig.ca.wait_for(&identity, 3);
    assert!(first.elapsed() < LIFE, "renewal begins at half of the life");
    // Renewals fail and the certificate is still good.
    assert!(rig.works());
    assert_eq!(serial(), held);
    assert!(rig.is_ready());
    // Then it ends, and nobody is let through without one.
    let over = || rig.call() == Ending::Reset;
    rig.lab.wait_until(LIFE * 2, "the certificate has expired", over).unwrap();
    assert!(first.elapsed() >= LIFE - Duration::from_secs(1), "{:?}", first.elapsed());
    let explained = || {
        let state = rig.certificate(&identity)["state"].to_string();
        state.contains("Unavailable") && state.contains("headache")
    };
    rig.lab.wait_until(SOON, "it is explained", explained).unwrap();
    rig.ca.sign_for(LIFE);
    rig.lab.wait_until(AT_ONCE, "the authority is noticed", || rig.works()).unwrap();
    assert!(program.is_running() && rig.is_ready());
}
