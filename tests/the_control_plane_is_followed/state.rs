//! The mesh as it changes, seen by connections to a service.

use std::net::IpAddr;

use culvert_lab::{Pod, PodSpec};
use culvert_proto::xds::Resource;

use crate::harness::ads::resources::of_yaml;
use crate::harness::ads::{ADDRESS, Stream};
use crate::harness::cluster::{ECHO, WHO, serve_all};
use crate::harness::kernel;
use crate::harness::scripted::Rig;
use crate::harness::talk::{Ending, SOON, assert_alive, exchange, who};

const SERVICE: &str = "default/shop.example";
const PORT: u16 = 80;

/// A node with the client and two pods that tell their names; neither is in a service yet.
struct Shop {
    rig: Rig,
    stream: Stream,
    one: Pod,
    two: Pod,
}

/// A pod as a workload that serves the shop, or not.
struct Member<'p> {
    pod: &'p Pod,
    serves: bool,
    status: &'static str,
}

fn open(name: &str) -> Shop {
    let rig = Rig::new(name);
    let pod = |name: &str| {
        let pod = rig.lab.pod(&rig.node, PodSpec::new(name).service_account("shop")).unwrap();
        serve_all(&rig.lab, &pod).unwrap();
        rig.lab.enrol(&pod).unwrap();
        pod
    };
    let (one, two) = (pod("one"), pod("two"));
    let (stream, _) = rig.run(rig.launch());
    rig.wait_until_captured(&[&one, &two]);
    Shop { rig, stream, one, two }
}

fn member(pod: &Pod) -> Member<'_> {
    Member { pod, serves: true, status: "Healthy" }
}

impl Member<'_> {
    fn resource(&self) -> Resource {
        let pod = self.pod;
        let services = if self.serves { format!("\"{SERVICE}\": {{{PORT}: {WHO}}}") } else { String::new() };
        of_yaml(&format!(
            "workloads: [{{uid: {}, name: {}, namespace: default, serviceAccount: shop, node: one, \
             protocol: HBONE, workloadIps: [{}, \"{}\"], status: {}, services: {{{services}}}}}]",
            uid(pod),
            pod.name(),
            pod.ip4(),
            pod.ip6(),
            self.status
        ))
        .addresses
        .remove(0)
    }
}

fn uid(pod: &Pod) -> String {
    format!("Kubernetes//Pod/default/{}", pod.name())
}

/// The shop at some address, with more keys.
fn service(keys: &str) -> Resource {
    let yaml = format!(
        "services: [{{name: shop, namespace: default, hostname: shop.example, ports: {{{PORT}: 0}}, {keys}}}]"
    );
    of_yaml(&yaml).addresses.remove(0)
}

impl Shop {
    fn tell(&mut self, resources: Vec<Resource>) {
        self.stream.tell(ADDRESS, resources);
    }

    /// Who answers at an address of the shop; nobody when the connection does not work.
    fn at(&self, ip: &str) -> Option<String> {
        let ip: IpAddr = ip.parse().unwrap();
        let ending = exchange(&self.rig.client, (ip, PORT), b"");
        if !matches!(&ending, Ending::Complete(line) if !line.is_empty()) {
            return None;
        }
        Some(who(self.rig.client.connect((ip, PORT), SOON).unwrap()).0)
    }

    #[track_caller]
    fn assert_answers(&self, ip: &str, pod: &Pod) {
        assert_eq!(self.at(ip).as_deref(), Some(pod.name()));
    }

    #[track_caller]
    fn assert_nobody(&self, ip: &str) {
        assert_eq!(self.at(ip), None);
    }
}

const VIP: &str = "10.97.0.1";
const AT_VIP: &str = "vips: [/10.97.0.1]";

#[test]
fn workloads_and_services_may_come_in_any_order_and_again() {
    let mut shop = open("ads-order");
    let (one, two) = (shop.one.clone(), shop.two.clone());
    shop.tell(vec![member(&one).resource()]);
    shop.assert_nobody(VIP);
    shop.tell(vec![service(AT_VIP)]);
    shop.assert_answers(VIP, &one);
    // A service that comes again still has its workloads, and those that came while it was away.
    shop.stream.remove(ADDRESS, &[SERVICE]);
    shop.assert_nobody(VIP);
    shop.tell(vec![member(&two).resource()]);
    shop.stream.remove(ADDRESS, &[&uid(&one)]);
    shop.tell(vec![service(AT_VIP)]);
    shop.assert_answers(VIP, &two);
    // One that leaves the service leaves it for good.
    shop.tell(vec![Member { serves: false, ..member(&two) }.resource()]);
    shop.assert_nobody(VIP);
    shop.tell(vec![member(&one).resource(), service(&format!("{AT_VIP}, canonical: true"))]);
    shop.assert_answers(VIP, &one);
}

#[test]
fn who_is_unhealthy_serves_only_where_that_does_not_matter() {
    let mut shop = open("ads-health");
    let (one, two) = (shop.one.clone(), shop.two.clone());
    let ill = Member { status: "Unhealthy", ..member(&one) }.resource();
    shop.tell(vec![member(&one).resource(), service(AT_VIP)]);
    shop.assert_answers(VIP, &one);
    shop.tell(vec![ill, member(&two).resource()]);
    for _ in 0..5 {
        shop.assert_answers(VIP, &two);
    }
    shop.tell(vec![Member { status: "Unhealthy", ..member(&two) }.resource()]);
    shop.assert_nobody(VIP);
    // Those who were left out come back when the service stops to care.
    shop.tell(vec![service(&format!(
        "{AT_VIP}, loadBalancer: {{routingPreferences: [], mode: Standard, healthPolicy: AllowAll}}"
    ))]);
    assert!(shop.at(VIP).is_some());
}

#[test]
fn an_address_leads_to_a_service_for_as_long_as_it_has_it() {
    let mut shop = open("ads-vips");
    let one = shop.one.clone();
    shop.tell(vec![member(&one).resource(), service(AT_VIP)]);
    shop.assert_answers(VIP, &one);
    shop.tell(vec![service("vips: [/10.97.0.1, /10.97.0.2]")]);
    shop.assert_answers(VIP, &one);
    shop.assert_answers("10.97.0.2", &one);
    shop.tell(vec![service("vips: [/10.97.0.2]")]);
    shop.assert_nobody(VIP);
    shop.assert_answers("10.97.0.2", &one);
    shop.tell(vec![service(AT_VIP)]);
    shop.assert_answers(VIP, &one);
    shop.assert_nobody("10.97.0.2");
}

/// A block of addresses, and a thousand changes of who is behind it.
#[test]
fn a_block_of_addresses_leads_to_the_newest_endpoints() {
    let mut shop = open("ads-block");
    let (one, two) = (shop.one.clone(), shop.two.clone());
    let block = "vips: [], cidrVips: [{network: \"\", cidr: 10.98.0.0/16}]";
    shop.tell(vec![service(block), member(&one).resource()]);
    shop.assert_answers("10.98.0.1", &one);
    let away = |pod| Member { serves: false, ..member(pod) }.resource();
    for turn in 0..1000 {
        let (here, gone) = if turn % 2 == 0 { (&two, &one) } else { (&one, &two) };
        let nonce = shop.stream.send(ADDRESS, vec![member(here).resource(), away(gone)], &[]);
        assert_eq!(shop.stream.request().response_nonce, nonce);
    }
    shop.assert_answers("10.98.255.254", &one);
    shop.stream.remove(ADDRESS, &[SERVICE]);
    shop.assert_nobody("10.98.0.1");
}

/// The agent and the control plane hear of a pod at different times.
#[test]
fn a_pod_that_is_enrolled_before_the_control_plane_knows_it_is_served_once_it_does() {
    let Shop { rig, mut stream, one, .. } = open("ads-late-pod");
    let late = rig.lab.pod(&rig.node, PodSpec::new("late").service_account("late")).unwrap();
    rig.lab.enrol(&late).unwrap();
    rig.wait_until_captured(&[&late]);
    let mut early = late.connect((one.ip4(), ECHO), SOON).unwrap();
    let waits = || kernel::established_at(&late, 15001) == 1;
    rig.lab.wait_until(SOON, "the connection waits at the proxy", waits).unwrap();
    stream.tell(ADDRESS, vec![rig.told().address(&uid(&late))]);
    assert_alive(&mut early, b"patience pays");
}
