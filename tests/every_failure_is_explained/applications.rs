//! What applications do to each other: refuse, reset, do not read, do not answer, leave.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use culvert_lab::{Behaviour, Node, Pod};
use culvert_sys::tcp;
use socket2::{Domain, Socket, Type};

use super::score::{Case, Score, Which, call, case, fail, known_at_both, open};
use super::starting;
use crate::harness::cluster::{Cluster, ECHO};
use crate::harness::talk::{Ending, assert_alive, read_to_end};

/// More than all buffers on the way hold.
const TOO_MUCH: u64 = 1 << 30;

struct Stage(Cluster);

pub(super) fn judge(score: &Score) {
    let stage = Stage(starting(|| Cluster::start("faults-applications").unwrap()));
    let cases = [stage.closed(), stage.reading(), stage.silent(), stage.broken_by_servers()];
    let others = [stage.broken_by_clients(), stage.healthy()];
    score.run(&cases.into_iter().chain(others).flatten().collect::<Vec<_>>());
}

impl Stage {
    /// The ends of what goes through a tunnel.
    fn both(&self) -> [(&Node, &Pod); 2] {
        [(&self.0.one, &self.0.client), (&self.0.two, &self.0.server)]
    }

    fn closed(&self) -> Vec<Case<'_>> {
        let Cluster { one, two, client, server, outsider, .. } = &self.0;
        vec![
            case("a closed port, in a tunnel", "server", move |fault| {
                fault.ended_at_both(self.both(), fail(client, (server.ip4(), closed(server))));
            }),
            case("a closed port, in plaintext", "server", move |fault| {
                let own = fail(client, (outsider.ip4(), closed(outsider)));
                fault.ended(one, client, &Which::From(own));
            }),
            case("a closed port, in plaintext into the mesh", "server", move |fault| {
                let own = fail(outsider, (server.ip4(), closed(server)));
                fault.ended(two, server, &Which::From(own));
            }),
        ]
    }

    fn reading(&self) -> Vec<Case<'_>> {
        let Cluster { one, client, server, outsider, .. } = &self.0;
        vec![
            case("the server does not read, in a tunnel", "server", move |fault| {
                let (own, _stream) = self.flood(server);
                fault.live_at_both(self.both(), own);
            }),
            case("the server does not read, in plaintext", "server", move |fault| {
                let (own, _stream) = self.flood(outsider);
                fault.live(one, client, &Which::From(own));
            }),
            case("the client does not read, in a tunnel", "client", move |fault| {
                let (own, _stream) = open(client, self.serve(server, Behaviour::Source(TOO_MUCH)));
                fault.live_at_both(self.both(), own);
            }),
            case("the client does not read, in plaintext", "client", move |fault| {
                let (own, _stream) = open(client, self.serve(outsider, Behaviour::Source(TOO_MUCH)));
                fault.live(one, client, &Which::From(own));
            }),
        ]
    }

    fn silent(&self) -> Vec<Case<'_>> {
        let Cluster { client, server, .. } = &self.0;
        vec![
            case("the server never answers", "server", move |fault| {
                let (own, mut stream) = open(client, self.serve(server, Behaviour::Silent));
                stream.write_all(b"a question").unwrap();
                fault.live_at_both(self.both(), own);
            }),
            case("the server's accept queue is full", "server", move |fault| {
                let full = Full::new(server);
                fault.ended_at_both(self.both(), fail(client, full.at));
            }),
            case("the client leaves before it is connected", "client", move |fault| {
                let full = Full::new(server);
                let (own, stream) = open(client, full.at);
                known_at_both(self.both(), own);
                tcp::reset_on_close(&stream).unwrap();
                drop(stream);
                fault.ended_at_both(self.both(), own);
            }),
        ]
    }

    fn broken_by_servers(&self) -> Vec<Case<'_>> {
        let Cluster { one, two, client, server, outsider, .. } = &self.0;
        vec![
            case("the server resets, in a tunnel", "server", move |fault| {
                fault.ended_at_both(self.both(), fail(client, self.serve(server, Behaviour::ResetAfter(4))));
            }),
            case("the server resets, in plaintext", "server", move |fault| {
                let own = fail(client, self.serve(outsider, Behaviour::ResetAfter(4)));
                fault.ended(one, client, &Which::From(own));
            }),
            case("the server resets, in plaintext into the mesh", "server", move |fault| {
                let own = fail(outsider, self.serve(server, Behaviour::ResetAfter(4)));
                fault.ended(two, server, &Which::From(own));
            }),
        ]
    }

    fn broken_by_clients(&self) -> Vec<Case<'_>> {
        let Cluster { one, two, client, server, outsider, .. } = &self.0;
        vec![
            case("the client resets, in a tunnel", "client", move |fault| {
                fault.ended_at_both(self.both(), self.reset(client, server));
            }),
            case("the client resets, in plaintext", "client", move |fault| {
                fault.ended(one, client, &Which::From(self.reset(client, outsider)));
            }),
            case("the client resets, in plaintext into the mesh", "client", move |fault| {
                fault.ended(two, server, &Which::From(self.reset(outsider, server)));
            }),
        ]
    }

    fn healthy(&self) -> Vec<Case<'_>> {
        let Cluster { one, client, server, outsider, .. } = &self.0;
        vec![
            case("nothing, and it is over", "nobody", move |fault| {
                let (own, ending) = call(client, (server.ip4(), ECHO));
                assert_eq!(ending, Ending::Complete(b"let me in".to_vec()));
                fault.ended_at_both(self.both(), own);
            }),
            case("nothing, and it is over, in plaintext", "nobody", move |fault| {
                let (own, _) = call(client, (outsider.ip4(), ECHO));
                fault.ended(one, client, &Which::From(own));
            }),
            case("nothing, and it lives", "nobody", move |fault| {
                let (own, mut stream) = open(client, (server.ip4(), ECHO));
                assert_alive(&mut stream, b"still here");
                fault.live_at_both(self.both(), own);
            }),
            case("nothing, but it is slow", "nobody", move |fault| {
                let (own, mut stream) = open(client, self.serve(server, Behaviour::custom(slowly)));
                stream.write_all(b"take your time").unwrap();
                stream.shutdown(Shutdown::Write).unwrap();
                read_to_end(&mut stream);
                fault.ended_at_both(self.both(), own);
            }),
        ]
    }

    fn serve(&self, pod: &Pod, behaviour: Behaviour) -> SocketAddr {
        (pod.ip4(), self.0.lab.serve(pod, 0, behaviour).unwrap().port()).into()
    }

    /// Sends the client's bytes to a pod that does not read them, until no more are taken.
    fn flood(&self, to: &Pod) -> (SocketAddr, TcpStream) {
        let (own, mut stream) = open(&self.0.client, self.serve(to, Behaviour::Silent));
        stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
        while stream.write(&[0; 65_536]).is_ok() {}
        (own, stream)
    }

    /// A client that resets what was fine.
    fn reset(&self, from: &Pod, to: &Pod) -> SocketAddr {
        let (own, mut stream) = open(from, self.serve(to, Behaviour::Echo));
        assert_alive(&mut stream, b"so far so good");
        tcp::reset_on_close(&stream).unwrap();
        own
    }
}

/// Answers piece by piece.
fn slowly(mut stream: TcpStream) -> std::io::Result<()> {
    std::io::copy(&mut stream.try_clone()?.take(14), &mut std::io::sink())?;
    for _ in 0..5 {
        std::thread::sleep(Duration::from_millis(700));
        stream.write_all(b"and then... ")?;
    }
    stream.shutdown(Shutdown::Write)
}

/// A port nobody listens at.
fn closed(pod: &Pod) -> u16 {
    pod.listen(0).unwrap().local_addr().unwrap().port()
}

/// A listener that accepts nobody, and whose queue is full.
struct Full {
    at: SocketAddr,
    _listener: Socket,
    _queued: Vec<TcpStream>,
}

impl Full {
    fn new(pod: &Pod) -> Self {
        let listener = pod.netns().run(|| Socket::new(Domain::IPV4, Type::STREAM, None)).unwrap().unwrap();
        listener.bind(&SocketAddr::from(([0, 0, 0, 0], 0)).into()).unwrap();
        listener.listen(0).unwrap();
        let port = listener.local_addr().unwrap().as_socket().unwrap().port();
        let within = |_| pod.connect(([127, 0, 0, 1], port), Duration::from_millis(300)).ok();
        let queued = (0..4).filter_map(within).collect();
        Self { at: (pod.ip4(), port).into(), _listener: listener, _queued: queued }
    }
}
