use std::time::Duration;

use super::*;
use crate::root::rotation::{self, Step};

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
fn each_step_of_a_rotation_shares_trust_with_the_one_before() {
    let mut data = made();
    data.insert("note".into(), ByteString(b"of somebody else".to_vec()));
    let first = own(&data, now()).unwrap();
    let mut before = own(&data, now()).unwrap();
    for step in [Step::Prepare, Step::Activate, Step::Finish] {
        let texts = rotation::after(&texts(&data), step, now()).unwrap_or_default().pop().unwrap();
        write(&texts, &mut data);
        let root = own(&data, now()).unwrap();
        assert!(root.shares_trust_with(&before), "{step:?}");
        assert!(root != before, "{step:?}");
        before = root;
    }
    assert!(!before.shares_trust_with(&first));
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
    assert!(next(own(&made(), now()), Some(&before)).is_none());
    assert!(next(own(&made(), now()), None).is_some());
    let expired = now() + Duration::from_secs(11 * 366 * 24 * 3600);
    assert!(next(own(&made(), expired), None).is_none());
}
