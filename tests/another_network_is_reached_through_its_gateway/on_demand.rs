//! `XDS_ON_DEMAND=true`: a gateway nobody has spoken of yet is asked for, and the connection waits for it.

use std::fs;
use std::thread;

use culvert_lab::{Pod, PodSpec, Program};
use culvert_proto::xds::Resource;
use rcgen::KeyPair;

use crate::harness::ads::resources::of_yaml;
use crate::harness::ads::{ADDRESS, AUTHORIZATION, Stream};
use crate::harness::certificates::Certificate;
use crate::harness::cluster::ECHO;
use crate::harness::h2_waypoint::{Way, Waypoint};
use crate::harness::pki::{DAY, Life};
use crate::harness::scripted::Rig;
use crate::harness::talk::{Ending, SOON, exchange};

const VIP: [u8; 4] = [10, 96, 200, 1];
const VIP_KEY: &str = "/10.96.200.1";
const ASKED: &str = "shop.example:80";

/// A node that knows its client only; a gateway, and behind it somebody who leads to the server.
struct Demand {
    rig: Rig,
    stream: Stream,
    program: Program,
    gate: Waypoint,
    teller: Waypoint,
}

impl Demand {
    fn start(name: &str) -> Self {
        let rig = Rig::new(name);
        let [gate, teller] = ["gate", "teller"]
            .map(|name| rig.lab.pod(&rig.node, PodSpec::new(name).service_account(name)).unwrap());
        let program = rig.lab.start(rig.launch().env("XDS_ON_DEMAND", "true")).unwrap();
        let mut stream = rig.ads.accept();
        stream.opening();
        stream.tell(AUTHORIZATION, Vec::new());
        rig.wait_until_ready();
        let uid = |name: &str| format!("Kubernetes//Pod/default/{name}");
        let told = rig.told();
        stream.tell(ADDRESS, vec![told.address(&uid("client")), told.address(&uid("server"))]);
        rig.wait_until_captured(&[&rig.client, &rig.server]);

        let root = rig.lab.root_certificate();
        fs::create_dir_all(root.parent().unwrap()).unwrap();
        fs::write(root, rig.ca.root.pem()).unwrap();
        let ways = [Way::bytes(ASKED, (teller.ip4(), 15008))];
        let gate = Waypoint::start(&rig.lab, gate.clone(), &certificate(&rig, &gate), &ways);
        let server = (rig.server.ip4(), ECHO).into();
        let ways = [Way::tunnel(ASKED, server, &rig.server.identity())];
        let teller = Waypoint::start(&rig.lab, teller.clone(), &certificate(&rig, &teller), &ways);
        Self { rig, stream, program, gate, teller }
    }

    /// The service, and who stands for its pods on the other network.
    fn shop(&self, gateway: &str) -> Vec<Resource> {
        let mut shop = of_yaml(&format!(
            "services: [{{name: shop, namespace: default, hostname: shop.example, vips: [{VIP_KEY}], \
             ports: {{80: {ECHO}}}, subjectAltNames: [\"{}\"]}}]\n\
             workloads: [{{uid: west/SplitHorizonWorkload/gate/default/shop.example, namespace: default, \
             workloadIps: [], network: west, networkGateway: {{{gateway}}}, \
             services: {{default/shop.example: {{}}}}}}]\n",
            self.teller.pod.identity()
        ))
        .addresses;
        alias(&mut shop, "default/shop.example", VIP_KEY);
        shop
    }

    /// The gateway as a workload, with other keys.
    fn gateway(&self, keys: &str) -> String {
        let ip = self.gate.pod.ip4();
        format!(
            "workloads: [{{uid: NetworkGateway/west/{ip}/15008, name: gate, namespace: default, serviceAccount: gate, \
             network: west, workloadIps: [{ip}], protocol: HBONE{keys}}}]\n"
        )
    }

    /// A client calls; the gateway that the service names is asked for with `key`, nothing passes before the `answer` to that, and all
    /// is well after it.
    #[track_caller]
    fn assert_asks(&mut self, gateway: &str, key: &str, answer: Vec<Resource>) {
        let shop = self.shop(gateway);
        let Self { rig, stream, gate, .. } = self;
        let wire = rig.lab.wire_of_pod(&rig.client).unwrap();
        thread::scope(|scope| {
            let call = scope.spawn(|| exchange(&rig.client, (VIP, 80), b"in the distance"));
            assert_eq!(stream.request().resource_names_subscribe, [VIP_KEY]);
            stream.tell(ADDRESS, shop);
            assert_eq!(stream.request().resource_names_subscribe, [key]);
            stream.assert_quiet();
            assert_eq!(wire.tcp_ports(), [0_u16; 0], "nothing passes before the answer");
            stream.tell(ADDRESS, answer);
            assert_eq!(call.join().unwrap(), Ending::Complete(b"in the distance".to_vec()));
        });
        assert_eq!(wire.stop().unwrap().tcp_ports(), [15008]);
        assert_eq!(gate.connects().len(), 1);
        // It is known from then on.
        assert_eq!(exchange(&rig.client, (VIP, 80), b"again"), Ending::Complete(b"again".to_vec()));
        stream.assert_quiet();
    }
}

/// A certificate of the mesh for a pod.
#[track_caller]
fn certificate(rig: &Rig, pod: &Pod) -> Certificate {
    let key = KeyPair::generate().unwrap();
    let leaf = rig.ca.root.leaf(&pod.identity(), Life::of(DAY), &key);
    let [chain, key_file] =
        ["crt", "key"].map(|kind| rig.lab.directory().join(format!("{}.{kind}", pod.name())));
    fs::write(&chain, leaf.pem).unwrap();
    fs::write(&key_file, key.serialize_pem()).unwrap();
    Certificate { chain, key: key_file }
}

fn alias(resources: &mut [Resource], name: &str, alias: &str) {
    let resource = resources.iter_mut().find(|resource| resource.name == name).unwrap();
    resource.aliases = vec![alias.to_owned()];
}

#[test]
fn a_gateway_is_asked_for_by_its_address() {
    let mut demand = Demand::start("gateway-demand");
    let ip = demand.gate.pod.ip4();
    let key = format!("west/{ip}");
    let mut answer = of_yaml(&demand.gateway("")).addresses;
    alias(&mut answer, &format!("NetworkGateway/west/{ip}/15008"), &key);
    demand.assert_asks(&format!("destination: \"{key}\""), &key, answer);
}

#[test]
fn a_gateway_is_asked_for_by_the_name_of_its_service() {
    let mut demand = Demand::start("gateway-demand-name");
    let key = "default/gates.example";
    let gates = "services: [{name: gates, namespace: default, hostname: gates.example, vips: [], ports: {15009: 15008}}]\n";
    let answer = of_yaml(&(demand.gateway(&format!(", services: {{{key}: {{}}}}")) + gates)).addresses;
    demand.assert_asks(&format!("destination: {key}, hboneMtlsPort: 15009"), key, answer);
}

#[test]
fn a_gateway_that_does_not_exist_refuses() {
    let mut demand = Demand::start("gateway-demand-none");
    let shop = demand.shop("destination: west/10.99.99.99");
    let Demand { rig, stream, gate, program, .. } = &mut demand;
    thread::scope(|scope| {
        let call = scope.spawn(|| exchange(&rig.client, (VIP, 80), b"in the distance"));
        assert_eq!(stream.request().resource_names_subscribe, [VIP_KEY]);
        stream.tell(ADDRESS, shop);
        assert_eq!(stream.request().resource_names_subscribe, ["west/10.99.99.99"]);
        stream.remove(ADDRESS, &["west/10.99.99.99"]);
        assert_eq!(call.join().unwrap(), Ending::Reset);
    });
    program.wait_for_log("reason=\"unknown_gateway\"", SOON).unwrap();
    assert_eq!(gate.connects().len(), 0);
}
