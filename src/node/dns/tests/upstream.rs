//! A nameserver that says what the test wants.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hickory_proto::op::{Message, OpCode, ResponseCode};
use hickory_proto::rr::{RData, Record};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UdpSocket};

use super::super::ask::framed;
use super::super::message::Transport;
use crate::tasks::Tasks;

/// What to answer; with nothing it stays silent.
pub(crate) type Script = dyn Fn(&Message, Transport) -> Vec<Vec<u8>> + Send + Sync;

/// A running nameserver.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    asked: Arc<AtomicUsize>,
    _tasks: Tasks,
}

impl Upstream {
    pub(crate) async fn start(
        script: impl Fn(&Message, Transport) -> Vec<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        let script: Arc<Script> = Arc::new(script);
        let (listener, socket) = loop {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            // Somebody else may have the same port for datagrams.
            if let Ok(socket) = UdpSocket::bind(listener.local_addr().unwrap()).await {
                break (listener, socket);
            }
        };
        let address = listener.local_addr().unwrap();
        let (asked, tasks) = (Arc::new(AtomicUsize::new(0)), Tasks::default());
        tasks.spawn(serve_udp(socket, Arc::clone(&script), Arc::clone(&asked)));
        tasks.spawn(serve_tcp(listener, script, Arc::clone(&asked)));
        Self { address, asked, _tasks: tasks }
    }

    /// How many queries there were.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

async fn serve_udp(socket: UdpSocket, script: Arc<Script>, asked: Arc<AtomicUsize>) {
    let mut buffer = [0; 4096];
    loop {
        let (length, client) = socket.recv_from(&mut buffer).await.unwrap();
        asked.fetch_add(1, Ordering::SeqCst);
        for answer in script(&Message::from_vec(&buffer[..length]).unwrap(), Transport::Udp) {
            socket.send_to(&answer, client).await.unwrap();
        }
    }
}

async fn serve_tcp(listener: TcpListener, script: Arc<Script>, asked: Arc<AtomicUsize>) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        while let Ok(length) = stream.read_u16().await {
            let mut query = vec![0; length.into()];
            stream.read_exact(&mut query).await.unwrap();
            asked.fetch_add(1, Ordering::SeqCst);
            for answer in script(&Message::from_vec(&query).unwrap(), Transport::Tcp) {
                stream.write_all(&framed(&answer).unwrap()).await.unwrap();
            }
        }
    }
}

/// An answer to a query.
pub(crate) fn reply(query: &Message, code: ResponseCode) -> Message {
    let mut reply = Message::response(query.metadata.id, OpCode::Query);
    reply.metadata.response_code = code;
    reply.metadata.recursion_available = true;
    reply.queries.clone_from(&query.queries);
    reply.edns.clone_from(&query.edns);
    reply
}

/// The content of an address record.
pub(crate) fn a(ip: [u8; 4]) -> RData {
    RData::A(Ipv4Addr::from(ip).into())
}

/// The content of an address record of the other family.
pub(crate) fn aaaa(ip: &str) -> RData {
    RData::AAAA(ip.parse::<Ipv6Addr>().unwrap().into())
}

/// An answer with an address.
pub(crate) fn address(query: &Message, ip: [u8; 4]) -> Message {
    let mut reply = reply(query, ResponseCode::NoError);
    let owner = query.queries[0].name.clone();
    reply.answers.push(Record::from_rdata(owner, 60, a(ip)));
    reply
}
