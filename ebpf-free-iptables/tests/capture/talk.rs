//! Who answers: listeners that say their name, and asking for it.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

use culvert_sys::netns::Netns;
use culvert_sys::tcp::{Dial, dial};
use ebpf_free_iptables::PACKET_MARK;
use socket2::Socket;

/// Longer than any answer takes.
const DEADLINE: Duration = Duration::from_secs(10);

/// Tells everybody who connects the name of the listener.
pub(crate) fn serve_tcp(netns: &Netns, at: (impl Into<IpAddr>, u16), name: &'static str) {
    let at = SocketAddr::new(at.0.into(), at.1);
    let listener = netns.run(|| TcpListener::bind(at)).unwrap().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            stream.unwrap().write_all(name.as_bytes()).unwrap();
        }
    });
}

/// Answers every datagram with the name.
pub(crate) fn serve_udp(netns: &Netns, at: (impl Into<IpAddr>, u16), name: &'static str) {
    let at = SocketAddr::new(at.0.into(), at.1);
    let socket = netns.run(|| UdpSocket::bind(at)).unwrap().unwrap();
    thread::spawn(move || {
        let mut question = [0; 16];
        loop {
            let (_, client) = socket.recv_from(&mut question).unwrap();
            socket.send_to(name.as_bytes(), client).unwrap();
        }
    });
}

/// Who answers there, if the one who asks is inside.
pub(crate) fn ask_tcp(netns: &Netns, at: (IpAddr, u16)) -> String {
    let at = SocketAddr::new(at.0, at.1);
    name_from(netns.run(|| TcpStream::connect_timeout(&at, DEADLINE)).unwrap().unwrap())
}

/// The same for the proxy, which connects in the name of somebody else.
pub(crate) fn ask_as(netns: &Netns, source: IpAddr, at: (IpAddr, u16)) -> String {
    let at = SocketAddr::new(at.0, at.1);
    let how = Dial { mark: Some(PACKET_MARK), source: Some(SocketAddr::new(source, 0)) };
    let socket = Socket::from(netns.run(|| dial(at, &how)).unwrap().unwrap());
    socket.set_nonblocking(false).unwrap();
    socket.connect_timeout(&at.into(), DEADLINE).unwrap();
    name_from(socket.into())
}

fn name_from(mut stream: TcpStream) -> String {
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut name = String::new();
    stream.read_to_string(&mut name).unwrap();
    name
}

/// The same by datagrams.
pub(crate) fn ask_udp(netns: &Netns, at: (IpAddr, u16)) -> String {
    let at = SocketAddr::new(at.0, at.1);
    let any = if at.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = netns.run(|| UdpSocket::bind(any)).unwrap().unwrap();
    socket.connect(at).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket.send(b"who").unwrap();
    let mut name = [0; 16];
    let length = socket.recv(&mut name).unwrap();
    String::from_utf8(name[..length].to_vec()).unwrap()
}
