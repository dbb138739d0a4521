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
    let refused = run(&client, "mesh", Step::Activate).await.unwrap_err().to_string();
    assert!(refused.contains("nothing to activate") && refused.contains("prepare"), "{refused}");
    for (step, stage) in [(Step::Prepare, "prepared"), (Step::Activate, "active"), (Step::Finish, "steady")] {
        let told = run(&client, "mesh", step).await.unwrap();
        assert!(told.contains(&format!("stage: {stage}")), "{told}");
    }
    let last = root(&client).await;
    assert!(!last.is_trusted_by(first.bundle(), now()));
    assert!(run(&client, "mesh", Step::Status).await.unwrap().contains("trusted roots: 1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_was_begun_goes_on_by_itself_and_waits_before_the_old_root_goes() {
    let (_server, client) = rig().await;
    let told = begin(&client, "mesh", Duration::from_secs(3600)).await.unwrap();
    assert!(told.contains("goes on by itself"), "{told}");
    let again = begin(&client, "mesh", Duration::from_secs(3600)).await.unwrap_err().to_string();
    assert!(again.contains("under way"), "{again}");
    let secrets = secret::secrets(&client, "mesh");
    for stage in ["prepared", "active", "active", "active"] {
        let told = change(&secrets, "mesh", advance).await.unwrap();
        assert!(told.contains(&format!("stage: {stage}")), "{told}");
    }
    let later = |texts: &Texts, plan: &mut Option<Plan>, now: SystemTime| {
        advance(texts, plan, now + Duration::from_secs(3601))
    };
    assert!(change(&secrets, "mesh", later).await.unwrap().contains("stage: steady"));
    let secret: Secret = secrets.get(OWN).await.unwrap().unwrap();
    assert!(!secret.metadata.annotations.unwrap_or_default().contains_key(PLAN));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_plugged_in_is_replaced_by_who_has_plugged_it_in() {
    let (server, client) = rig().await;
    let plugged =
        json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": PLUGGED, "namespace": "mesh" } });
    server.create(plugged).unwrap();
    let refused = run(&client, "mesh", Step::Prepare).await.unwrap_err().to_string();
    assert!(refused.contains("cacerts"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_is_taken_once_however_many_take_it_at_the_same_time() {
    let (_server, client) = rig().await;
    let steps = futures::future::join_all((0..4).map(|_| run(&client, "mesh", Step::Prepare))).await;
    assert_eq!(steps.iter().filter(|step| step.is_ok()).count(), 1, "{steps:?}");
    assert!(run(&client, "mesh", Step::Status).await.unwrap().contains("trusted roots: 2"));
}
