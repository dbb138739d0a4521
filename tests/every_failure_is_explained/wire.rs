//! What is between two nodes: filters, cuts, losses, and ways that are not there.

use std::net::SocketAddr;

use culvert_lab::{Fate, Fault as Broken, Pod, PodSpec, bulk};

use super::score::{Case, Score, Which, case, fail, open};
use super::starting;
use crate::harness::cluster::{Cluster, ECHO, SINK, serve_all};
use crate::harness::command::{run, run_in};
use crate::harness::talk::{Ending, assert_alive, exchange_on, read_to_end};

/// Takes long enough for what is lost to be seen.
const BULK: u64 = 48 << 20;

struct Stage {
    cluster: Cluster,
    pods: Vec<Pod>,
}

impl Stage {
    fn start(names: &[&str]) -> Self {
        let cluster = Cluster::without_mesh("faults-wire").unwrap();
        let pods: Vec<Pod> =
            names.iter().map(|name| cluster.lab.pod(&cluster.two, PodSpec::new(name)).unwrap()).collect();
        for pod in &pods {
            serve_all(&cluster.lab, pod).unwrap();
        }
        let all: Vec<&Pod> = pods.iter().chain([&cluster.client]).collect();
        cluster.start_programs(&[]).unwrap();
        cluster.lab.enrol_all(&all).unwrap();
        Self { cluster, pods }
    }

    /// What becomes of what is for a pod.
    fn break_way_to(&self, pod: &Pod, matches: &[&str], fate: Fate) -> Broken {
        let towards = ["-o", pod.node_interface()];
        let matches: Vec<&str> = towards.into_iter().chain(matches.iter().copied()).collect();
        self.cluster.lab.break_packets(&self.cluster.two, &matches, fate).unwrap()
    }

    fn failed(&self, to: &Pod) -> Which {
        Which::From(fail(&self.cluster.client, (to.ip4(), ECHO)))
    }

    /// A connection that is cut while it lives, for as long as the guard does.
    fn cut(&self, pod: &Pod) -> (SocketAddr, Broken) {
        let (own, mut stream) = open(&self.cluster.client, (pod.ip4(), ECHO));
        assert_alive(&mut stream, b"so far so good");
        let cut = self.cluster.lab.isolate(&self.cluster.two, pod).unwrap();
        assert_eq!(read_to_end(&mut stream), Ending::Reset);
        (own, cut)
    }
}

pub(super) fn judge(score: &Score) {
    let stage = starting(|| Stage::start(&["walled", "shut", "gone", "long", "lossy", "lost", "near"]));
    score.run(&[stage.before(), stage.meanwhile()].into_iter().flatten().collect::<Vec<_>>());
}

impl Stage {
    fn pod(&self, name: &str) -> &Pod {
        self.pods.iter().find(|pod| pod.name() == name).unwrap()
    }

    /// What is broken before anybody calls.
    fn before(&self) -> Vec<Case<'_>> {
        let Cluster { lab, one, two, client, outsider, .. } = &self.cluster;
        vec![
            case("what is for port 15008 disappears", "firewall", move |fault| {
                let port = ["-p", "tcp", "--dport", "15008"];
                let _wall = self.break_way_to(self.pod("walled"), &port, Fate::Dropped);
                fault.ended(one, client, &self.failed(self.pod("walled")));
            }),
            case("a filter of the server's pod drops port 15008", "firewall", move |fault| {
                let rule = "iptables -w 5 -I INPUT -p tcp --dport 15008 -j DROP";
                run(self.pod("shut"), &rule.split(' ').collect::<Vec<_>>()).unwrap();
                fault.ended(one, client, &self.failed(self.pod("shut")));
            }),
            case("the server's pod is cut off", "network", move |fault| {
                let _cut = lab.isolate(two, self.pod("gone")).unwrap();
                fault.ended(one, client, &self.failed(self.pod("gone")));
            }),
            case("a plaintext server is cut off", "network", move |fault| {
                let _cut = lab.isolate(two, outsider).unwrap();
                fault.ended(one, client, &self.failed(outsider));
            }),
            case("there is no route", "network", move |fault| {
                let to = self.pod("lost").ip4().to_string();
                run_in(one.netns(), &["ip", "route", "add", "unreachable", &to]).unwrap();
                fault.ended(one, client, &self.failed(self.pod("lost")));
            }),
        ]
    }

    /// What becomes of connections there are.
    fn meanwhile(&self) -> Vec<Case<'_>> {
        let Cluster { one, two, client, .. } = &self.cluster;
        vec![
            case("the way is cut under a live connection", "network", move |fault| {
                let (own, _cut) = self.cut(self.pod("long"));
                fault.ended_at_both([(one, client), (two, self.pod("long"))], own);
            }),
            case("the network loses packets", "network", move |fault| {
                let _loss = self.break_way_to(self.pod("lossy"), &[], Fate::Lossy(5));
                let (own, mut stream) = open(client, (self.pod("lossy").ip4(), SINK));
                bulk::send(&mut stream, BULK).unwrap();
                exchange_on(stream, b"");
                fault.ended(one, client, &Which::From(own));
            }),
            case("nothing, over many small exchanges", "nobody", move |fault| {
                let (own, mut stream) = open(client, (self.pod("near").ip4(), ECHO));
                (0..200).for_each(|_| assert_alive(&mut stream, b"and on"));
                fault.live_at_both([(one, client), (two, self.pod("near"))], own);
            }),
        ]
    }
}
