//! A control plane that is away, while pods come and go.

use std::time::Duration;

use culvert_lab::{Pod, PodSpec};

use super::score::{Case, Score, Which, case, fail};
use super::starting;
use crate::harness::cluster::{Cluster, ECHO, serve_all};
use crate::harness::v1::read;

/// How long what it said is not called old.
const FRESH: Duration = Duration::from_secs(6);

struct Stage {
    cluster: Cluster,
    pods: Vec<Pod>,
}

impl Stage {
    fn start() -> Self {
        let cluster = Cluster::without_mesh("faults-stale").unwrap();
        let Cluster { lab, two, client, .. } = &cluster;
        let pod = |name: &&str| lab.pod(two, PodSpec::new(name).service_account(name)).unwrap();
        let pods: Vec<Pod> = ["gone", "left", "moved"].iter().map(pod).collect();
        cluster.start_programs(&[]).unwrap();
        lab.enrol_all(&pods.iter().chain([client]).collect::<Vec<_>>()).unwrap();
        Self { cluster, pods }
    }

    /// The control plane goes, then pods do, and others come in their place.
    fn change(&self) -> Pod {
        let Cluster { lab, one, two, .. } = &self.cluster;
        let pods = &self.pods;
        lab.control().unwrap().kill_hard().unwrap();
        for node in [one, two] {
            let down = || read(node, "node")["xds"]["state"] == "down";
            lab.wait_until(FRESH * 2, "the node notices", down).unwrap();
        }
        // So much later its word is old.
        std::thread::sleep(FRESH);
        for pod in pods {
            lab.delete(pod).unwrap();
        }
        let successor = |of: &Pod, name: &str| {
            let pod = lab.successor(of, PodSpec::new(name).service_account(name)).unwrap();
            serve_all(lab, &pod).unwrap();
            pod
        };
        successor(&pods[1], "plain");
        let captured = successor(&pods[2], "captured");
        let newcomer = lab.pod(one, PodSpec::new("newcomer").service_account("newcomer")).unwrap();
        lab.enrol_all(&[&captured, &newcomer]).unwrap();
        newcomer
    }
}

pub(super) fn judge(score: &Score) {
    let stage = &starting(Stage::start);
    let newcomer = &stage.change();
    let Cluster { one, client, .. } = &stage.cluster;
    let mut cases: Vec<Case<'_>> = Vec::new();
    for (name, pod) in [
        ("the server's pod has gone, and the control plane before it", &stage.pods[0]),
        ("a pod that is not of the mesh has the server's address", &stage.pods[1]),
        ("another pod of the mesh has the server's address", &stage.pods[2]),
    ] {
        cases.push(case(name, "staleConfig", move |fault| {
            fault.ended(one, client, &Which::From(fail(client, (pod.ip4(), ECHO))));
        }));
    }
    cases.push(case("the mesh does not know the calling pod", "staleConfig", move |fault| {
        let own = fail(newcomer, (client.ip4(), ECHO));
        fault.ended(one, newcomer, &Which::From(own));
    }));
    score.run(&cases);
}
