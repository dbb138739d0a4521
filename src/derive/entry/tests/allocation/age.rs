//! Whose an address is that several say is theirs.

use super::*;

#[test]
fn whoever_is_older_keeps_an_automatic_address_and_whoever_has_written_it_any_other() {
    const V4: &str = "240.240.1.1";
    const V6: &str = "2001:2::101";
    let own = &["*"][..];
    // Who else has written it, when that was made and who may see it; whether the one it was given loses it, or else the writer.
    for (name, made, ip, seen_by, loses, taken) in [
        ("aaa", 9, V4, own, false, true),
        ("aaa", 9, V6, own, false, true),
        ("aaa", 1, V4, own, true, false),
        ("aaa", 3, V4, own, true, false),
        ("zzz", 3, V4, own, false, true),
        ("aaa", 9, V4, &["."], false, true),
        ("aaa", 1, V4, &["."], true, false),
        ("aaa", 1, V4, &["~"], false, false),
        ("aaa", 1, "240.241.1.1", own, true, false),
        ("aaa", 9, "10.0.0.1", own, true, false),
        ("aaa", 9, "2001:2:1::1", own, true, false),
    ] {
        let spec = json!({"hosts": ["x.y"], "addresses": [ip, "10.9.9.9"], "exportTo": seen_by});
        let writer = Written::new(name, made, spec);
        let all = [writer.clone(), Written::plain("old", 3).holding(ip)];
        let expected: &[&str] = if loses { &["old"] } else { &[] };
        assert_eq!(names(&wanted(&all)), expected, "{name} {made} {ip} {seen_by:?}");
        let found: Vec<String> = fresh(&all).taken(&writer.read()).iter().map(ToString::to_string).collect();
        let expected: &[&str] = if taken { &[ip] } else { &[] };
        assert_eq!(found, expected, "{name} {made} {ip} {seen_by:?}");
        assert!(fresh(&all[..1]).taken(&writer.read()).is_empty(), "nobody else has it");
    }
}

#[test]
fn of_two_that_have_written_an_automatic_address_the_younger_has_it_when_the_older_is_gone() {
    let of = |name: &str, made| {
        Written::new(name, made, json!({"hosts": ["x.y"], "addresses": ["240.240.1.1"]})).read()
    };
    let (old, young) = (of("old", 1), of("young", 2));
    let mut allocation = Allocation::default();
    let keys = |moved: BTreeSet<crate::Key>| moved.iter().map(|key| key.name.to_string()).collect::<Vec<_>>();
    assert_eq!(keys(allocation.insert(&young)), [""; 0]);
    assert_eq!(keys(allocation.insert(&old)), ["young"]);
    assert_eq!((allocation.taken(&young).len(), allocation.taken(&old).len()), (1, 0));
    assert_eq!(keys(allocation.insert(&of("youngest", 3))), [""; 0]);
    assert_eq!(keys(allocation.remove(&old.meta.key(Kind::ServiceEntry))), ["young"]);
    assert_eq!(allocation.taken(&young).len(), 0);
}
