//! What runs in a captured waypoint: reads the header with PROXY protocol, and sends the connection on.

use std::io::{self, Write as _};
use std::net::{Shutdown, TcpStream};
use std::thread;

use culvert_lab::{Behaviour, Pod};
use culvert_sys::tcp;
use serde_json::json;

use crate::harness::proxied;
use crate::harness::talk::SOON;

/// Who calls this port of something behind the waypoint is answered by the waypoint itself, with how the connection came.
pub(super) const TELL: u16 = 4000;

/// The application: goes on to where the client wanted, as the pod it is in.
pub(super) fn waypoint(pod: Pod) -> Behaviour {
    Behaviour::custom(move |mut stream| {
        let header = proxied::read(&mut stream)?;
        match header.ends {
            Some((_, destination)) if destination.port() != TELL => {
                relay(&stream, &pod.connect(destination, SOON)?)
            }
            Some(_) | None => tell(&mut stream, &header),
        }
    })
}

fn tell(stream: &mut TcpStream, header: &proxied::Header) -> io::Result<()> {
    let line = json!({
        "from": tcp::canonical(stream.peer_addr()?),
        "at": tcp::canonical(stream.local_addr()?),
        "source": header.ends.map(|(source, _)| source),
        "destination": header.ends.map(|(_, destination)| destination),
        "identity": header.identity,
    });
    write!(stream, "{line}")?;
    stream.shutdown(Shutdown::Write)?;
    io::copy(stream, &mut io::sink()).map(drop)
}

fn relay(client: &TcpStream, server: &TcpStream) -> io::Result<()> {
    thread::scope(|scope| {
        let back = scope.spawn(|| pipe(server, client));
        let forth = pipe(client, server);
        forth.and(back.join().expect("nothing in it panics"))
    })
}

fn pipe(mut from: &TcpStream, mut to: &TcpStream) -> io::Result<()> {
    io::copy(&mut from, &mut to)?;
    to.shutdown(Shutdown::Write)
}
