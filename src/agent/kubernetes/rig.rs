//! For tests: an API server that breaks on command, and everything here running against it.

use ebpf_free_iptables::Options;
use std::sync::Arc;
use std::time::Duration;

use culvert_kubernetes::{Client, Freshness, Pace, client};
use culvert_lab::api_server::{ApiServer, Object, namespace, pod};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::decide::Enablement;
use super::settings::Settings;
use super::source::Source;
use crate::cluster::{View, Views, Wish};

pub(super) const NODE: &str = "n1";

/// Until something must have happened.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// A tenth of the waits of a real node, or less.
pub(super) fn pace() -> Pace {
    Pace {
        first: Duration::from_millis(20),
        longest: Duration::from_millis(100),
        answer: Duration::from_secs(1),
        watch: Duration::from_secs(1),
        grace: Duration::from_millis(300),
        relist: Duration::from_secs(3600),
        absent: Duration::from_millis(100),
    }
}

pub(super) fn settings() -> Settings {
    let enablement = Enablement {
        membership: culvert_membership::Settings::default(),
        rules: Options { dns: true, probes: None, ..Options::default() },
    };
    Settings::new(NODE, enablement)
}

pub(super) fn client(api: &ApiServer) -> Client {
    client::at(api.url().parse().unwrap()).unwrap()
}

/// A namespace whose pods are in the mesh.
pub(super) fn ambient(name: &str) -> Object {
    namespace(name).label("istio.io/dataplane-mode", "ambient")
}

/// A running pod of our node.
pub(super) fn running(namespace: &str, name: &str, last_byte: u8) -> Object {
    pod(namespace, name).node(NODE).ip([10, 0, 0, last_byte])
}

/// A source at work.
pub(super) struct Watching {
    pub(super) views: Views,
    pub(super) freshness: Freshness,
    pub(super) task: JoinHandle<()>,
}

impl Watching {
    pub(super) fn start(api: &ApiServer) -> Self {
        Self::start_with(api, pace())
    }

    pub(super) fn start_with(api: &ApiServer, pace: Pace) -> Self {
        let source = Source::new(client(api), &settings(), pace);
        let (publisher, views) = watch::channel(None);
        let freshness = source.freshness();
        Self { views, freshness, task: tokio::spawn(source.run(publisher)) }
    }

    pub(super) fn view(&self) -> Option<Arc<View>> {
        self.views.borrow().clone()
    }

    /// Waits for a view.
    pub(super) async fn until(&mut self, what: &str, is: impl Fn(&View) -> bool) -> Arc<View> {
        let is = |view: &Option<Arc<View>>| view.as_ref().is_some_and(|view| is(view));
        let found = timeout(PATIENCE, self.views.wait_for(is)).await;
        let found = found.ok().and_then(Result::ok).and_then(|view| view.clone());
        found.unwrap_or_else(|| panic!("{what}: last seen: {:#?}", self.view()))
    }

    /// Waits until the view has exactly the pods that the server has on our node, with their addresses.
    pub(super) async fn converges(&mut self, api: &ApiServer, when: &str) -> Arc<View> {
        let is_ours = |object: &serde_json::Value| object["spec"]["nodeName"] == NODE;
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let objects = api.objects("pods").into_iter().filter(is_ours);
        let there: Vec<_> =
            objects.map(|o| (text(&o["metadata"]["uid"]), text(&o["status"]["podIP"]))).collect();
        let same = |view: &View| {
            let shown = |(uid, ip): &(String, String)| {
                let address = view.pods.get(uid.as_str()).and_then(|pod| pod.addresses.first());
                address.map(ToString::to_string).unwrap_or_default() == *ip
                    && view.pods.contains_key(uid.as_str())
            };
            view.pods.len() == there.len() && there.iter().all(shown)
        };
        self.until(when, same).await
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Waits for what nobody tells of.
pub(super) async fn eventually(what: &str, is: impl Fn() -> bool) {
    let looking = async {
        while !is() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(timeout(PATIENCE, looking).await.is_ok(), "{what}");
}

/// The names of the pods that shall be in the mesh.
pub(super) fn wished(view: &View) -> Vec<String> {
    let wished = view.pods.values().filter(|pod| matches!(pod.wish, Wish::Enrol(_)));
    let mut names: Vec<_> = wished.map(|pod| pod.workload.to_string()).collect();
    names.sort();
    names
}
