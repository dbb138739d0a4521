use std::time::Duration;

use super::*;
use crate::root::rotation::{self, Haste, Step};

mod of_istio;

fn now() -> SystemTime {
    SystemTime::now()
}

fn made() -> Data {
    let mut data = Data::new();
    write(&Texts::new(now()).unwrap_or_default(), &mut data);
    data
}

fn data(pairs: &[(&str, &ByteString)]) -> Data {
    pairs.iter().map(|&(key, text)| (key.to_owned(), text.clone())).collect()
}

#[test]
fn our_own_is_written_and_read_and_others_find_what_signs() {
    let data = made();
    let root = own(&data, now()).unwrap();
    assert_eq!(data[SIGNS].0, data["root-cert.pem"].0);
    assert_eq!(root.bundle().as_bytes(), data["root-cert.pem"].0);
    // What others write, who know one certificate alone.
    let theirs = [(SIGNS, &data[SIGNS]), ("ca-key.pem", &data["ca-key.pem"])];
    assert!(own(&self::data(&theirs), now()).unwrap() == root);
}

#[test]
fn each_step_of_a_rotation_may_follow_the_one_before() {
    let mut data = made();
    data.insert("note".into(), ByteString(b"of somebody else".to_vec()));
    let first = own(&data, now()).unwrap();
    let mut before = own(&data, now()).unwrap();
    for step in [Step::Prepare, Step::Activate, Step::Finish] {
        let insists = (&Leaves::default(), Haste::Insist);
        let texts = rotation::after(&texts(&data), step, insists, now()).unwrap_or_default().pop().unwrap();
        write(&texts, &mut data);
        let root = own(&data, now()).unwrap();
        assert!(root.may_follow(&before, now()), "{step:?}");
        assert!(root != before, "{step:?}");
        before = root;
    }
    assert!(!before.may_follow(&first, now()) && !before.is_trusted_by(first.bundle(), now()));
    assert_eq!(data.keys().collect::<Vec<_>>(), ["ca-cert.pem", "ca-key.pem", "note", "root-cert.pem"]);
}

#[test]
fn what_is_plugged_in_comes_in_two_forms() {
    let own = made();
    let (certificate, key) = (&own[SIGNS], &own["ca-key.pem"]);
    let people = data(&[("ca-cert.pem", certificate), ("ca-key.pem", key), ("root-cert.pem", certificate)]);
    let manager = data(&[("tls.crt", certificate), ("tls.key", key), ("ca.crt", certificate)]);
    assert!(plugged_in(&people, now()).unwrap() == plugged_in(&manager, now()).unwrap());
    let lacks = data(&[("tls.crt", certificate), ("tls.key", key)]);
    let error = plugged_in(&lacks, now()).unwrap_err().to_string();
    assert!(error.contains("cacerts lacks ca.crt"), "{error}");
    let error = plugged_in(&Data::new(), now()).unwrap_err().to_string();
    assert!(error.contains("cacerts lacks ca-cert.pem"), "{error}");
}

#[test]
fn a_root_nobody_trusts_yet_is_not_taken() {
    let before = own(&made(), now()).unwrap();
    for before in [Before::Signing(&before), Before::Published(before.bundle())] {
        assert!(next(own(&made(), now()), before).is_none(), "{before:?}");
    }
    assert!(next(own(&made(), now()), Before::Nothing).is_some());
    let same = || own(&data(&[(SIGNS, &ByteString(before.bundle().into()))]), now());
    assert!(next(same(), Before::Nothing).is_none(), "it has no key");
    let expired = now() + Duration::from_secs(11 * 366 * 24 * 3600);
    assert!(next(own(&made(), expired), Before::Nothing).is_none());
}

/// The new root is among those that are trusted, and signs at once: who knows the old one alone trusts nobody any more.
#[test]
fn a_root_that_is_trusted_and_signs_in_one_step_is_not_taken() {
    let (old, new) = (made(), made());
    let both = [&old[SIGNS].0[..], &new[SIGNS].0].concat();
    let plugged = |signs: &Data, roots: &[u8]| {
        let roots = ByteString(roots.to_vec());
        let pairs =
            [("ca-cert.pem", &signs[SIGNS]), ("ca-key.pem", &signs["ca-key.pem"]), ("root-cert.pem", &roots)];
        plugged_in(&data(&pairs), now())
    };
    let before = plugged(&old, &old[SIGNS].0).unwrap();
    assert!(next(plugged(&new, &both), Before::Signing(&before)).is_none());
    let both_trusted = next(plugged(&old, &both), Before::Signing(&before)).unwrap();
    let new_signs = next(plugged(&new, &both), Before::Signing(&both_trusted)).unwrap();
    next(plugged(&new, &new[SIGNS].0), Before::Signing(&new_signs)).unwrap();
}
