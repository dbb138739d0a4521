//! Names asked for in the pods of a town, over UDP, as a resolver would.

use std::net::Ipv4Addr;
use std::time::Duration;

use super::town::Town;

/// Where a pod thinks its nameserver is; the mesh answers for names of its own.
const SERVER: (Ipv4Addr, u16) = (Ipv4Addr::new(10, 96, 0, 10), 53);
const SOON: Duration = Duration::from_secs(5);

/// Has every pod in the mesh ask for the service `shop`: its address has to be in the answer.
pub(crate) fn ask(town: &Town) {
    for pod in town.members().iter().filter(|pod| !pod.name().starts_with("tenant")) {
        let asked = (|| {
            let socket = pod.udp(SERVER, SOON)?;
            socket.send(&query("shop.shop.svc.cluster.local"))?;
            let mut answer = [0; 512];
            let length = socket.recv(&mut answer)?;
            Ok::<_, std::io::Error>(answer[..length].to_vec())
        })();
        let wanted = town.shop_ip4().octets();
        match asked {
            Ok(answer) if answer.windows(4).any(|bytes| bytes == wanted) => {}
            other => town.journal.violated(format!("{} is not told of the shop: {other:?}", pod.name())),
        }
    }
}

/// A question for an address (RFC 1035, section 4.1).
fn query(name: &str) -> Vec<u8> {
    let mut message = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        message.push(u8::try_from(label.len()).expect("labels are short"));
        message.extend(label.as_bytes());
    }
    message.extend([0, 0, 1, 0, 1]);
    message
}
