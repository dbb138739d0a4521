use super::*;

#[test]
fn the_first_recorder_of_a_process_stays() {
    let metrics = install(Settings::default()).unwrap();
    metrics::counter!("installed_total").increment(2);
    let error = install(Settings::default()).unwrap_err();
    assert!(error.to_string().contains("already"), "{error}");
    assert_eq!(metrics.text(), "# TYPE installed_total counter\ninstalled_total 2\n");
}

#[test]
fn labels_are_listed_once_and_in_order() {
    assert!(CLOSED.is_sorted_by(|one, other| one < other), "{CLOSED:?}");
}
