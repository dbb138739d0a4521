//! An application that asks for a connection hears of the far end of both tunnels, not of the near one.

use std::io::{Read as _, Write as _};

use culvert_lab::{Behaviour, ServiceSpec};

use super::rig::{Networks, PORT, authority, vouching};
use crate::harness::h2_waypoint::Way;
use crate::harness::socks::{PLACES, SOCKS, ask, asking, to_name};
use crate::harness::talk::{SOON, assert_alive};

const FAILURE: u8 = 1;
const REFUSED: u8 = 5;

#[test]
fn it_is_told_once_and_before_anything_the_far_end_says() {
    let networks = Networks::start("gateway-asked").unwrap();
    let Networks { lab, here, client, server, .. } = &networks;
    networks.proxy(here).stop().unwrap();
    lab.start_node_as(here, asking(lab.node_launch(here).unwrap())).unwrap();
    lab.wait_until(SOON, "the client is served", || client.listens(SOCKS).unwrap()).unwrap();

    let welcome = Behaviour::custom(|mut stream| {
        stream.write_all(b"welcome")?;
        std::io::copy(&mut stream.try_clone()?, &mut stream).map(drop)
    });
    let (greets, _application) = networks.application("greets", welcome);
    let closed = server.listen(0).unwrap().local_addr().unwrap().port();
    let keys = vouching(&[&server.identity()]);
    let closed =
        lab.service(ServiceSpec::new("closed").port(PORT, closed).mesh_keys(&keys), &[server]).unwrap();
    let (nowhere, _application) = networks.application("nowhere", Behaviour::Echo);
    let way = |service| Way::bytes(authority(service, PORT), (server.ip4(), 15008));
    let _gateway = networks.lead(&networks.gate, &[way(&greets), way(&closed)]);

    let (code, mut stream) = ask(client, PLACES[0], &to_name(&greets.hostname(), PORT)).unwrap();
    assert_eq!(code, 0, "{}", lab.evidence());
    let mut said = [0; 7];
    stream.read_exact(&mut said).unwrap();
    assert_eq!(&said, b"welcome");
    assert_alive(&mut stream, b"and back");
    for (service, expected) in [(&closed, REFUSED), (&nowhere, FAILURE)] {
        let (code, mut stream) = ask(client, PLACES[0], &to_name(&service.hostname(), PORT)).unwrap();
        assert_eq!(code, expected, "{}: {}", service.name(), lab.evidence());
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    }
}
