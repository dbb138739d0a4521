use super::*;

/// All there are.
pub(crate) const CULPRITS: [Culprit; 15] = [
    Culprit::Nobody,
    Culprit::Client,
    Culprit::Server,
    Culprit::Network,
    Culprit::Firewall,
    Culprit::Policy,
    Culprit::Certificate,
    Culprit::StaleConfig,
    Culprit::Config,
    Culprit::Capacity,
    Culprit::Waypoint,
    Culprit::NodeMissing,
    Culprit::Dns,
    Culprit::Mesh,
    Culprit::Unknown,
];

#[test]
fn a_culprit_has_one_name() {
    for culprit in CULPRITS {
        assert_eq!(serde_json::to_value(culprit).unwrap(), culprit.as_str());
    }
}

#[test]
fn what_is_not_known_is_absent_and_what_is_not_understood_is_ignored() {
    let end = End { address: "10.0.0.1:80".into(), ..End::default() };
    let text = serde_json::to_string(&end).unwrap();
    assert_eq!(text, r#"{"address":"10.0.0.1:80"}"#);
    let newer = r#"{"address":"10.0.0.1:80","colour":"green"}"#;
    assert_eq!(serde_json::from_str::<End>(newer).unwrap(), end);
}
