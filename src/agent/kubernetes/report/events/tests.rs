use super::*;
use crate::board::What;
use crate::pod::{Uid, Workload};

fn occurrence(what: What) -> Occurrence {
    let workload = Workload { name: "web-0".into(), namespace: "shop".into(), service_account: "web".into() };
    Occurrence { uid: Uid::from("u1"), workload, what }
}

fn event_of(what: What, unsaid: u32) -> Value {
    let occurrence = occurrence(what);
    event("node-1", &occurrence, &Notice::of(&occurrence.what), unsaid)
}

#[test]
fn events_are_about_the_pod_with_its_uid() {
    let event = event_of(What::Enrolled, 0);
    assert_eq!(event["regarding"]["uid"], "u1");
    assert_eq!(event["regarding"]["name"], "web-0");
    assert_eq!(event["regarding"]["namespace"], "shop");
    assert_eq!(event["metadata"]["namespace"], "shop");
    assert!(event["metadata"]["name"].as_str().unwrap().starts_with("web-0."));
    assert_eq!(event["reportingInstance"], "node-1");
    let time = event["eventTime"].as_str().unwrap();
    assert!(time.ends_with('Z') && time.len() == "2026-11-21T18:00:00.000000Z".len(), "{time}");
}

#[test]
fn what_is_wrong_is_a_warning() {
    let check = |what: What, reason: &str, kind: &str| {
        let event = event_of(what, 0);
        assert_eq!((event["reason"].as_str(), event["type"].as_str()), (Some(reason), Some(kind)));
        assert!(!event["action"].as_str().unwrap().is_empty() && !event["note"].as_str().unwrap().is_empty());
    };
    check(What::Enrolled, "CulvertEnrolled", "Normal");
    check(What::FoundInPlaintext, "CulvertFoundInPlaintext", "Warning");
    check(What::Drifted { differences: "x".into() }, "CulvertDriftRepaired", "Warning");
    check(What::Quarantined { reason: "x".into() }, "CulvertQuarantined", "Warning");
    check(What::Misannotated { complaint: "x".into() }, "CulvertMisannotated", "Warning");
    check(What::Left, "CulvertLeft", "Normal");
}

#[test]
fn long_texts_are_cut_to_what_the_api_server_takes() {
    for unsaid in [0, u32::MAX] {
        let event = event_of(What::Quarantined { reason: "ä".repeat(5000) }, unsaid);
        let note = event["note"].as_str().unwrap();
        assert!(note.len() <= LONGEST_NOTE && note.len() > 900, "{}", note.len());
        assert_eq!(note.contains("4294967295 times more"), unsaid > 0);
    }
}
