use super::*;

fn id(text: &str) -> SpiffeId {
    text.parse().unwrap()
}

/// How many of a thousand evenly spread traces are kept.
fn kept(setting: &str, from: Option<&str>, to: Option<&str>) -> usize {
    let sampling = Sampling::parse(setting).unwrap();
    let (from, to) = (from.map(id), to.map(id));
    let traces = (0..1000_u128).map(|n| (0xfeed << 64) | (((2 * n + 1) << RANDOM_BITS) / 2000));
    traces.filter(|trace| sampling.keeps(|| [from.clone(), to.clone()], *trace)).count()
}

const BATCH: &str = "spiffe://cluster.local/ns/batch/sa/job";
const WEB: &str = "spiffe://cluster.local/ns/web/sa/shop";

#[test]
fn a_share_is_that_share() {
    for (setting, expected) in
        [("", 1000), ("1", 1000), ("0", 0), ("0.1", 100), (" 0.25 ", 250), ("1e-2", 10)]
    {
        assert_eq!(kept(setting, None, None), expected, "{setting:?}");
        assert_eq!(kept(setting, Some(WEB), Some(BATCH)), expected, "{setting:?}");
    }
}

#[test]
fn the_first_pattern_that_matches_either_end_counts() {
    let setting = "spiffe://cluster.local/ns/batch/sa/job=0.5,spiffe://cluster.local/ns/batch/*=0.01,0.2";
    for (from, to, expected) in [
        (Some(BATCH), Some(WEB), 500),
        (Some(WEB), Some(BATCH), 500),
        (None, Some(BATCH), 500),
        (Some("spiffe://cluster.local/ns/batch/sa/jobs"), Some(WEB), 10),
        (Some(WEB), Some("spiffe://cluster.local/ns/batch/sa/other"), 10),
        (Some(WEB), Some(WEB), 200),
        (None, None, 200),
    ] {
        assert_eq!(kept(setting, from, to), expected, "{from:?} -> {to:?}");
    }
    assert_eq!(kept("spiffe://cluster.local/ns/batch/*=0", Some(WEB), None), 1000, "all others are logged");
}

#[test]
fn what_a_smaller_share_keeps_a_larger_one_keeps_too() {
    let [small, large] = ["0.1", "0.3"].map(|setting| Sampling::parse(setting).unwrap());
    for n in 0..1000_u128 {
        let trace = n.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        assert!(!small.keeps(|| [None, None], trace) || large.keeps(|| [None, None], trace));
    }
}

#[test]
fn what_makes_no_sense_is_named() {
    for (setting, named) in [
        ("2", "`2`"),
        ("-0.1", "`-0.1`"),
        ("NaN", "`NaN`"),
        ("much", "`much`"),
        ("0.1,0.2", "`0.2`"),
        ("batch=0.1", "`batch`"),
        ("spiffe://a/*/b=0.1", "`spiffe://a/*/b`"),
        ("*=0.1", "`*`"),
        ("spiffe://cluster.local/ns/batch/*=", "``"),
        ("spiffe://cluster.local/ns/batch/*=all", "`all`"),
    ] {
        let error = Sampling::parse(setting).unwrap_err();
        assert!(error.starts_with(named), "{setting}: {error}");
    }
}
