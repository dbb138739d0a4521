use culvert_core::store::Resource;

use super::*;
use crate::config::MeshSource;

/// A mesh that is what `text` says and stays so.
pub(crate) fn fixed(text: &str) -> Result<Mesh, file::Error> {
    let (changes, _) = file::read(&MeshSource::Inline(text.into()))?;
    Ok(start(Locality::default(), changes, None).0)
}

fn workload(name: &str) -> String {
    format!("- {{uid: {name}, name: {name}, namespace: ns, serviceAccount: sa, workloadIps: [10.0.0.1]}}\n")
}

#[tokio::test(start_paused = true)]
async fn a_workload_that_never_comes_is_given_up_at_the_deadline() {
    let (changes, _) = file::read(&MeshSource::Inline(format!("workloads:\n{}", workload("here")))).unwrap();
    let (mesh, _feed, owner) = start(Locality::default(), changes, None);
    let owner = tokio::spawn(owner.run());
    assert!(mesh.local_workload("ns", "here", "sa").await.is_some());
    assert!(mesh.local_workload("ns", "missing", "sa").await.is_none());
    owner.abort();
}

#[tokio::test]
async fn an_edit_of_the_file_is_taken_and_a_bad_one_is_not() {
    let path = std::env::temp_dir().join(format!("culvert-mesh-{}", std::process::id()));
    let write = |text: String| std::fs::write(&path, text).unwrap();
    write(format!("workloads:\n{}", workload("one")));
    let (changes, followed) = file::read(&MeshSource::File(path.clone())).unwrap();
    let (mesh, feed, owner) = start(Locality::default(), changes, None);
    let owner = tokio::spawn(owner.run());
    let follow = tokio::spawn(followed.run(feed));
    write("workloads: [ nonsense".into());
    write(format!("workloads:\n{}", workload("two")));
    assert!(mesh.local_workload("ns", "two", "sa").await.is_some());
    assert!(mesh.snapshot().local_workload("ns", "one", "sa").is_none(), "what is no longer there goes");
    follow.abort();
    owner.abort();
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn a_bad_state_at_start_names_its_origin() {
    let error = fixed("nonsense: 1").unwrap_err();
    assert!(error.to_string().contains("LOCAL_XDS"), "{error}");
}

#[tokio::test]
async fn readers_hear_of_what_concerns_them_only() {
    let locality = Locality { network: "".into(), node: Some("here".into()) };
    let (mut mesh, feed, owner) = start(locality, Vec::new(), None);
    let owner = tokio::spawn(owner.run());
    let change = |uid: &str, node: &str| {
        let place = culvert_core::workload::Place { node: node.into(), ..Default::default() };
        let workload = Workload { uid: uid.into(), place: place.into(), ..Workload::default() };
        vec![Change::Insert(Resource::Workload(workload))]
    };
    feed.apply(change("remote", "there")).await;
    feed.publish().await;
    assert!(mesh.snapshot().workload("remote").is_some());
    assert!(!mesh.local.has_changed().unwrap() && !mesh.verdicts.has_changed().unwrap());
    feed.apply(change("local", "here")).await;
    assert!(mesh.snapshot().workload("local").is_none(), "not published yet");
    feed.publish().await;
    mesh.local_changed().await;
    mesh.verdicts_changed().await;
    owner.abort();
}

#[tokio::test]
async fn what_is_missing_is_asked_for_and_what_is_there_is_not() {
    let (demands, mut asked) = mpsc::channel(1);
    let (mesh, _feed, _owner) = start(Locality::default(), Vec::new(), Some(demands));
    let ip = "10.0.0.1".parse().unwrap();
    let waiting = tokio::spawn({
        let mesh = mesh.clone();
        async move { mesh.know_address("west", ip).await }
    });
    let demand = asked.recv().await.unwrap();
    assert_eq!(&*demand.name, "west/10.0.0.1");
    demand.settle(Err("why"));
    assert!(waiting.await.unwrap().unwrap_err().to_string().contains("west/10.0.0.1"));

    let known = fixed(&format!("workloads:\n{}", workload("w"))).unwrap();
    known.know_address("", ip).await.unwrap();
}
