use culvert_kubernetes::client;
use culvert_lab::api_server::ApiServer;
use serde_json::json;

use super::*;
use crate::root::Root;

fn now() -> SystemTime {
    SystemTime::now()
}

async fn rig() -> (ApiServer, Client) {
    let server = ApiServer::start().unwrap();
    let client = client::at(server.url().parse().unwrap()).unwrap();
    secret::make(&secret::secrets(&client, "mesh"), now()).await.unwrap();
    (server, client)
}

async fn root(client: &Client) -> Root {
    let secret: Secret = secret::secrets(client, "mesh").get(OWN).await.unwrap().unwrap();
    secret::own(&secret.data.unwrap(), now()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_is_replaced_by_three_steps_in_their_order() {
    let (_server, client) = rig().await;
    let first = root(&client).await;
    let refused = run(&client, "mesh", Step::Activate, Haste::Wait).await.unwrap_err().to_string();
    assert!(refused.contains("nothing to activate") && refused.contains("prepare"), "{refused}");
    for (step, stage) in [(Step::Prepare, "prepared"), (Step::Activate, "active"), (Step::Finish, "steady")] {
        let told = run(&client, "mesh", step, Haste::Wait).await.unwrap();
        assert!(told.contains(&format!("stage: {stage}")), "{told}");
    }
    let last = root(&client).await;
    assert!(!last.is_trusted_by(first.bundle(), now()));
    assert!(run(&client, "mesh", Step::Status, Haste::Wait).await.unwrap().contains("trusted roots: 1"));
}

/// Has certificates of the root that signs live for so long.
async fn sign(client: &Client, life: Duration) {
    let fingerprint = root(client).await.fingerprint();
    let secrets = secret::secrets(client, "mesh");
    let noted = change(&secrets, "mesh", |texts, notes, now| {
        notes.leaves.note(&fingerprint, now + life);
        Ok(Some(texts.clone()))
    });
    noted.await.unwrap();
}

/// Goes on by itself, after so long.
async fn later(client: &Client, after: Duration) -> String {
    let secrets = secret::secrets(client, "mesh");
    let later = |texts: &Texts, notes: &mut Notes, now| advance(texts, notes, now + after);
    change(&secrets, "mesh", later).await.unwrap()
}

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test(flavor = "multi_thread")]
async fn one_that_was_begun_goes_on_by_itself_and_waits_for_certificates_of_the_old_root() {
    let (_server, client) = rig().await;
    sign(&client, HOUR * 24 * 90).await;
    let told = begin(&client, "mesh", HOUR, Haste::Wait).await.unwrap();
    assert!(told.contains("goes on by itself"), "{told}");
    let again = begin(&client, "mesh", HOUR, Haste::Wait).await.unwrap_err().to_string();
    assert!(again.contains("under way"), "{again}");
    for stage in ["prepared", "active", "active"] {
        let told = later(&client, Duration::ZERO).await;
        assert!(told.contains(&format!("stage: {stage}")), "{told}");
    }
    let told = later(&client, HOUR * 24 * 89).await;
    assert!(told.contains("stage: active") && told.contains("the old root is needed until"), "{told}");
    assert!(told.contains("finished by itself when the old root is needed no more"), "{told}");
    sign(&client, HOUR * 24 * 365).await;
    assert!(
        later(&client, HOUR * 24 * 90).await.contains("stage: steady"),
        "those of the new one do not count"
    );
    let secret: Secret = secret::secrets(&client, "mesh").get(OWN).await.unwrap().unwrap();
    let annotations = secret.metadata.annotations.unwrap_or_default();
    assert!(!annotations.contains_key(PLAN));
    let known = leaves::read(&annotations).need(&root(&client).await.fingerprint(), now());
    assert!(matches!(known, Some(Needed::Until(_))), "{annotations:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_was_begun_waits_a_while_at_least_and_for_nothing_else_if_the_operator_insists() {
    for (life, haste) in [(Duration::ZERO, Haste::Wait), (HOUR * 48, Haste::Insist)] {
        let (_server, client) = rig().await;
        sign(&client, life).await;
        begin(&client, "mesh", HOUR * 2, haste).await.unwrap();
        for stage in ["prepared", "active", "active"] {
            assert!(later(&client, HOUR).await.contains(&format!("stage: {stage}")));
        }
        assert!(later(&client, HOUR * 3 - HOUR / 60).await.contains("stage: active"));
        assert!(later(&client, HOUR * 3).await.contains("stage: steady"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_step_is_refused_while_certificates_of_the_old_root_live() {
    let (_server, client) = rig().await;
    sign(&client, HOUR).await;
    for step in [Step::Prepare, Step::Activate] {
        run(&client, "mesh", step, Haste::Wait).await.unwrap();
    }
    let refused = run(&client, "mesh", Step::Finish, Haste::Wait).await.unwrap_err().to_string();
    assert!(refused.contains("until 20") && refused.contains("--insist"), "{refused}");
    let told = run(&client, "mesh", Step::Finish, Haste::Insist).await.unwrap();
    assert!(told.contains("stage: steady"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_that_an_older_version_began_waits_as_well() {
    let plan: Plan = serde_json::from_str(r#"{"finishAfter":5,"activated":1}"#).unwrap();
    assert!(!plan.insists);
    let (_server, client) = rig().await;
    sign(&client, HOUR).await;
    let secrets = secret::secrets(&client, "mesh");
    for step in [Step::Prepare, Step::Activate] {
        run(&client, "mesh", step, Haste::Wait).await.unwrap();
    }
    let planned = change(&secrets, "mesh", |texts, notes, _| {
        (notes.plan, notes.leaves) = (Some(plan.clone()), Leaves::default());
        Ok(Some(texts.clone()))
    });
    planned.await.unwrap();
    assert!(later(&client, HOUR * 1000).await.contains("stage: active"), "nothing is known of the old root");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_plugged_in_is_replaced_by_who_has_plugged_it_in() {
    let (server, client) = rig().await;
    let plugged =
        json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": PLUGGED, "namespace": "mesh" } });
    server.create(plugged).unwrap();
    let refused = run(&client, "mesh", Step::Prepare, Haste::Wait).await.unwrap_err().to_string();
    assert!(refused.contains("cacerts"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_is_taken_once_however_many_take_it_at_the_same_time() {
    let (_server, client) = rig().await;
    let steps =
        futures::future::join_all((0..4).map(|_| run(&client, "mesh", Step::Prepare, Haste::Wait))).await;
    assert_eq!(steps.iter().filter(|step| step.is_ok()).count(), 1, "{steps:?}");
    assert!(run(&client, "mesh", Step::Status, Haste::Wait).await.unwrap().contains("trusted roots: 2"));
}
