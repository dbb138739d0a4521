//! Who ended a connection, and how, is in the log of every node it went through, and they agree.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use culvert_lab::{LogPosition, Node, Pod, Program, Section};
use culvert_sys::child::die_with_parent;
use culvert_sys::sockets::connections;
use culvert_sys::tcp;

use crate::harness::cluster::{Cluster, ECHO};
use crate::harness::talk::{Ending, SOON, assert_alive, exchange, read_to_end};

/// The logs of both nodes from now on.
struct Logs([(Program, LogPosition); 2]);

impl Logs {
    fn begin(cluster: &Cluster) -> Self {
        Self([&cluster.one, &cluster.two].map(|node: &Node| {
            let program = cluster.lab.proxy(node).unwrap();
            let position = program.log_position();
            (program, position)
        }))
    }

    /// The line about a connection's end that says this.
    fn line(&self, nth: usize, part: &str) -> Line {
        let (program, position) = &self.0[nth];
        let is_it = |line: &&str| line.contains("connection complete") && line.contains(part);
        let find = || program.log_since(*position).lines().find(is_it).map(|line| Line(line.to_owned()));
        eventually(&format!("{} logs `{part}`", program.name()), find)
    }

    /// What both nodes say of a connection between them.
    fn both(&self, client: SocketAddr) -> [Line; 2] {
        let near = self.line(0, &format!("src.addr={client} "));
        let trace = format!("trace={}", near.field("trace").unwrap());
        let far = self.line(1, &trace);
        [near, far]
    }
}

/// Looks until there is something.
#[track_caller]
fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + SOON;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// One line of the access log.
#[derive(Debug)]
struct Line(String);

impl Line {
    fn field(&self, name: &str) -> Option<&str> {
        let (_, rest) = self.0.split_once(&format!(" {name}="))?;
        match rest.strip_prefix('"') {
            Some(quoted) => quoted.split('"').next(),
            None => rest.split(' ').next(),
        }
    }

    #[track_caller]
    fn says(&self, closed_by: &str, reason: Option<&str>) {
        assert_eq!((self.field("closed_by"), self.field("reason")), (Some(closed_by), reason), "{}", self.0);
    }
}

/// Both ends of one connection.
struct Ends {
    client: TcpStream,
    server: TcpStream,
    own: SocketAddr,
}

impl Ends {
    fn between(from: &Pod, to: &Pod) -> Self {
        let listener: TcpListener = to.listen(0).unwrap();
        let mut client = from.connect((to.ip4(), listener.local_addr().unwrap().port()), SOON).unwrap();
        client.write_all(b"hello").unwrap();
        let (mut server, _) = listener.accept().unwrap();
        server.set_read_timeout(Some(SOON)).unwrap();
        server.read_exact(&mut [0; 5]).unwrap();
        let own = client.local_addr().unwrap();
        Self { client, server, own }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    /// It says that it has no more to say.
    Ends,
    /// It resets the connection.
    Resets,
    /// The process dies with something unread.
    IsKilled,
}

/// Has one side end a connection, and then the other.
fn end(how: How, pod: &Pod, mut first: TcpStream, mut second: TcpStream) {
    match how {
        How::Ends => {
            first.shutdown(Shutdown::Write).unwrap();
            assert_eq!(read_to_end(&mut second), Ending::Complete(Vec::new()));
            second.shutdown(Shutdown::Write).unwrap();
            assert_eq!(read_to_end(&mut first), Ending::Complete(Vec::new()));
        }
        How::Resets => {
            tcp::reset_on_close(&first).unwrap();
            drop(first);
            assert_eq!(read_to_end(&mut second), Ending::Reset);
        }
        How::IsKilled => {
            second.write_all(b"not read").unwrap();
            arrives(pod, &first);
            let mut sleeper = holder_of(first);
            sleeper.kill().unwrap();
            sleeper.wait().unwrap();
            assert_eq!(read_to_end(&mut second), Ending::Reset);
        }
    }
}

/// A process that has a socket, alone.
fn holder_of(socket: TcpStream) -> Child {
    // The command has it, too, until it is dropped.
    let mut command = Command::new("sleep");
    command.arg("60").stdin(Stdio::from(OwnedFd::from(socket)));
    die_with_parent(&mut command).spawn().unwrap()
}

/// Waits until something is there to be read.
fn arrives(pod: &Pod, socket: &TcpStream) {
    let ends = (tcp::canonical(socket.local_addr().unwrap()), tcp::canonical(socket.peer_addr().unwrap()));
    let has_come = || {
        let all = connections(Some(pod.netns()), 1000).unwrap();
        all.iter().any(|it| (it.local, it.remote) == ends && it.unread > 0)
    };
    eventually("it arrives", || has_come().then_some(()));
}

const ALL: [How; 3] = [How::Ends, How::Resets, How::IsKilled];

/// What the log says of it.
fn reason(how: How, broke: &'static str) -> Option<&'static str> {
    (how != How::Ends).then_some(broke)
}

/// Every way for either side of a connection to end it first.
fn each(from: &Pod, to: &Pod, mut told: impl FnMut(How, SocketAddr, (&str, Option<&str>))) {
    for how in ALL {
        let Ends { client, server, own } = Ends::between(from, to);
        end(how, from, client, server);
        told(how, own, ("client", reason(how, "client_broke")));
        let Ends { client, server, own } = Ends::between(from, to);
        end(how, to, server, client);
        told(how, own, ("server", reason(how, "server_broke")));
    }
}

#[test]
fn both_nodes_tell_who_ended_a_connection_first_and_how() {
    let cluster = Cluster::start("ends-told").unwrap();
    let logs = Logs::begin(&cluster);
    each(&cluster.client, &cluster.server, |how, own, (closed_by, reason)| {
        let [near, far] = logs.both(own);
        near.says(closed_by, reason);
        far.says(closed_by, reason);
        if how != How::Ends {
            let at_the_other_end = if closed_by == "client" { &far } else { &near };
            assert!(at_the_other_end.0.contains("(CONNECT_ERROR)"), "{at_the_other_end:?}");
        }
    });
    let told = |_, own, (closed_by, reason): (&str, Option<&str>)| {
        logs.line(0, &format!("src.addr={own} ")).says(closed_by, reason);
    };
    each(&cluster.client, &cluster.outsider, told);
    each(&cluster.outsider, &cluster.client, told);
}

#[test]
fn what_a_node_refuses_or_cuts_is_told_as_that_by_the_other_one() {
    let cluster = Cluster::start("cuts-told").unwrap();
    let (client, server) = (&cluster.client, &cluster.server);
    let logs = Logs::begin(&cluster);
    let closed = server.listen(0).unwrap().local_addr().unwrap().port();
    assert_eq!(exchange(client, (server.ip4(), closed), b"anybody?"), Ending::Reset);
    let near = logs.line(0, "refused_by_peer");
    near.says("proxy", Some("refused_by_peer"));
    assert!(near.0.contains("culvert: connection_refused (workload_refused)"), "{near:?}");
    logs.line(1, "workload_refused").says("proxy", Some("workload_refused"));

    let mut stream = client.connect((server.ip4(), ECHO), SOON).unwrap();
    assert_alive(&mut stream, b"so far, so good");
    let own = stream.local_addr().unwrap();
    let nobody = "
    - name: nobody-at-all
      namespace: default
      scope: Namespace
      action: Deny
      rules: [[]]
    ";
    cluster.lab.set(Section::Policies, nobody).unwrap();
    assert_eq!(read_to_end(&mut stream), Ending::Reset);
    let [near, far] = logs.both(own);
    far.says("proxy", Some("policy_changed"));
    near.says("server", Some("server_broke"));
    assert!(near.0.contains("cut at the other end of the tunnel (CANCEL)"), "{near:?}");
    let refused = exchange(client, (server.ip4(), ECHO), b"let me in");
    assert_eq!(refused, Ending::Reset);
    let near = logs.line(0, "http_request_denied");
    assert!(near.0.contains("culvert: http_request_denied (denied)"), "{near:?}");
    assert!(!near.0.contains("nobody-at-all"), "no policy is named to peers: {near:?}");
}

#[test]
fn a_node_that_has_died_is_told_from_an_application_that_has() {
    let cluster = Cluster::start("crash-told").unwrap();
    let logs = Logs::begin(&cluster);
    let mut stream = cluster.client.connect((cluster.server.ip4(), ECHO), SOON).unwrap();
    assert_alive(&mut stream, b"so far, so good");
    let own = stream.local_addr().unwrap();
    logs.0[1].0.kill_hard().unwrap();
    assert_eq!(read_to_end(&mut stream), Ending::Reset);
    let near = logs.line(0, &format!("src.addr={own} "));
    near.says("server", Some("server_broke"));
    assert!(near.0.contains("connection lost:"), "{near:?}");
}
