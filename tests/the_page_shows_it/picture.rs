//! The picture of the page in the README: a small shop with some traffic, of which one caller is refused.
//!
//! `cargo test -p conformance draws_the_picture -- --ignored` draws it anew.

use culvert_lab::{Behaviour, Lab, Node, Pod, PodSpec, Section, Service, ServiceSpec};
use serde_json::json;

use super::read;
use crate::harness::cluster::lab;
use crate::harness::talk::{SOON, assert_alive, assert_download, assert_echo, assert_reset};

const ECHO: u16 = 8080;
const IMAGES: u16 = 8081;
const SIZE: u64 = 3 << 20;

const ONLY_CHECKOUT: &str = "
    - name: only-checkout
      namespace: pay
      scope: Namespace
      action: Allow
      rules: [[[{ principals: [!Exact cluster.local/ns/shop/sa/checkout] }]]]
    ";

/// An application of some pods and a service, as a deployment would make it.
fn application(lab: &Lab, node: &Node, namespace: &str, name: &str) -> (Pod, Service) {
    let spec = PodSpec::new(&format!("{name}-7d9f4")).namespace(namespace).service_account(name);
    let pod =
        lab.pod(node, spec.mesh_keys(&format!("workloadName: {name}\nworkloadType: deployment"))).unwrap();
    lab.serve(&pod, ECHO, Behaviour::Echo).unwrap();
    lab.serve(&pod, IMAGES, Behaviour::Source(SIZE)).unwrap();
    let service = ServiceSpec::new(name).namespace(namespace).port(80, ECHO).port(81, IMAGES);
    let service = lab.service(service, &[&pod]).unwrap();
    (pod, service)
}

fn call(from: &Pod, to: &Service, times: usize, bytes: usize) {
    for _ in 0..times {
        assert_echo(from, (to.ip4(), 80), &vec![b'.'; bytes]);
    }
}

#[test]
#[ignore = "draws docs/page.png"]
fn draws_the_picture_of_the_readme() {
    let lab = lab("picture").unwrap();
    let (one, two) = (lab.node("worker-1").unwrap(), lab.node("worker-2").unwrap());
    lab.set(Section::Policies, ONLY_CHECKOUT).unwrap();
    let (frontend, to_frontend) = application(&lab, &one, "shop", "frontend");
    let (checkout, to_checkout) = application(&lab, &one, "shop", "checkout");
    let (loadgen, _) = application(&lab, &one, "test", "loadgen");
    let (cart, to_cart) = application(&lab, &two, "shop", "cart");
    let (catalog, to_catalog) = application(&lab, &two, "shop", "catalog");
    let (payment, to_payment) = application(&lab, &two, "pay", "payment");
    let (bank, _) = application(&lab, &two, "outside", "bank");
    lab.enrol_all(&[&frontend, &checkout, &loadgen, &cart, &catalog, &payment]).unwrap();
    lab.start_mesh().unwrap();

    call(&loadgen, &to_frontend, 60, 3_000);
    call(&frontend, &to_cart, 25, 20_000);
    call(&frontend, &to_checkout, 9, 2_000);
    call(&checkout, &to_cart, 9, 1_500);
    call(&checkout, &to_payment, 8, 900);
    for _ in 0..4 {
        assert_download(&frontend, (to_catalog.ip4(), 81).into(), SIZE);
    }
    (0..3).for_each(|_| assert_reset(&loadgen, (to_payment.ip4(), 80)));
    assert_echo(&checkout, (bank.ip4(), ECHO), b"out in the open");
    let mut open = Vec::new();
    for (from, to) in
        [(&loadgen, &to_frontend), (&frontend, &to_cart), (&frontend, &to_catalog), (&checkout, &to_payment)]
    {
        let mut stream = from.connect((to.ip4(), 80), SOON).unwrap();
        assert_alive(&mut stream, b"still here");
        open.push(stream);
    }
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/page.png");
    read(&lab, &one, json!({ "do": "picture", "file": file }));
    let size = std::fs::metadata(file).unwrap().len();
    assert!(size < 200_000, "{size} bytes are too many for a README");
}
