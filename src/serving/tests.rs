use axum::routing::get;
use futures::FutureExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::guests::Full;
use super::*;

/// Connections the test makes.
struct Connections(mpsc::UnboundedReceiver<(DuplexStream, Option<IpAddr>)>);

impl Accept for Connections {
    type Stream = DuplexStream;

    fn accept(&mut self) -> BoxFuture<'_, io::Result<(DuplexStream, Option<IpAddr>)>> {
        Box::pin(async { self.0.recv().await.ok_or_else(|| io::ErrorKind::NotConnected.into()) })
    }
}

struct Server {
    connections: mpsc::UnboundedSender<(DuplexStream, Option<IpAddr>)>,
    _task: JoinHandle<()>,
}

impl Server {
    fn start(limits: Limits) -> Self {
        let (connections, accepted) = mpsc::unbounded_channel();
        let router = Router::new()
            .route("/", get(async || "hello"))
            .route("/never", get(async || std::future::pending::<&str>().await));
        Self { connections, _task: tokio::spawn(serve(Connections(accepted), router, limits)) }
    }

    async fn connect(&self, said: &str) -> DuplexStream {
        self.connect_from(None, said).await
    }

    async fn connect_from(&self, source: Option<&str>, said: &str) -> DuplexStream {
        let (mut client, server) = duplex(4096);
        self.connections.send((server, source.map(|text| text.parse().unwrap()))).unwrap();
        client.write_all(said.as_bytes()).await.unwrap();
        client
    }
}

#[tokio::test(start_paused = true)]
async fn in_the_end_requests_under_way_are_answered_and_nobody_else_is_waited_for() {
    let (connections, accepted) = mpsc::unbounded_channel();
    let slowly = async || {
        sleep(LAST_ANSWERS / 2).await;
        "late"
    };
    let router = Router::new()
        .route("/slow", get(slowly))
        .route("/never", get(async || std::future::pending::<&str>().await));
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let limits = Limits::Wait { most: 8 };
    let ended = async { drop(ended.await) };
    let task = tokio::spawn(serve_until(Connections(accepted), router, limits, ended));
    let server = Server { connections, _task: task };
    let idle = server.connect("").await;
    let slow = server.connect("GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let never = server.connect("GET /never HTTP/1.1\r\nhost: x\r\n\r\n").await;
    sleep(Duration::from_millis(1)).await;
    end.send(()).unwrap();
    let (idle, slow, never) = tokio::join!(rest(idle), rest(slow), rest(never));
    assert!(idle.1 < LAST_ANSWERS / 2, "{idle:?}");
    assert!(slow.0.ends_with("late"), "{slow:?}");
    assert!(never.0.is_empty() && never.1 <= LAST_ANSWERS * 2, "{never:?}");
}

/// Waits until the server has closed the connection; returns what it has said, and after how long.
async fn rest(mut client: DuplexStream) -> (String, Duration) {
    let start = Instant::now();
    let mut said = String::new();
    client.read_to_string(&mut said).await.unwrap();
    (said, start.elapsed())
}

#[tokio::test(start_paused = true)]
async fn nobody_can_stay_for_ever() {
    let server = Server::start(Limits::Wait { most: 8 });
    let mute = server.connect("").await;
    let slow = server.connect("GET / HTTP/1.1\r\nhost: x\r\nx:").await;
    let idle = server.connect("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let endless = server.connect("GET /never HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let (mute, slow, idle, endless) = tokio::join!(rest(mute), rest(slow), rest(idle), rest(endless));
    assert!(mute.1 <= HEADERS * 2 && slow.1 <= HEADERS * 2, "{mute:?} {slow:?}");
    assert!(idle.0.ends_with("hello") && idle.1 <= HEADERS * 2, "{idle:?}");
    assert!(endless.1 <= LIFE * 2, "{endless:?}");
}

#[tokio::test(start_paused = true)]
async fn those_who_are_too_many_wait_until_others_have_gone() {
    let server = Server::start(Limits::Wait { most: 2 });
    let (first, second) = (server.connect("").await, server.connect("").await);
    let mut third = server.connect("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let mut byte = [0];
    for _ in 0..100 {
        tokio::task::yield_now().await;
        assert!(third.read(&mut byte).now_or_never().is_none(), "there are two already");
    }
    drop(first);
    timeout(HEADERS / 2, third.read(&mut byte)).await.unwrap().unwrap();
    assert_eq!(&byte, b"H");
    drop(second);
}

const HELLO: &str = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";
const NEVER: &str = "GET /never HTTP/1.1\r\nhost: x\r\n\r\n";

/// Waits until the server has begun with all that was sent to it; time does not pass.
async fn settled() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

/// Whether the server has closed the connection without a word.
fn is_closed(client: &mut DuplexStream) -> bool {
    client.read(&mut [0]).now_or_never().is_some_and(|read| read.unwrap() == 0)
}

#[tokio::test(start_paused = true)]
async fn one_more_takes_the_place_of_who_has_said_nothing_for_longest() {
    let server = Server::start(Limits::Replace { most: 3, per_source: 3 });
    let mut clients = Vec::new();
    for said in [NEVER, "", ""] {
        clients.push(server.connect(said).await);
        settled().await;
        tokio::time::advance(Duration::from_millis(10)).await;
    }
    let closed = |clients: &mut Vec<_>| clients.iter_mut().map(is_closed).collect::<Vec<_>>();
    assert_eq!(closed(&mut clients), [false; 3]);
    let fourth = server.connect(HELLO).await;
    settled().await;
    assert_eq!(closed(&mut clients), [false, true, false], "the first one's request is under way");
    assert!(rest(fourth).await.0.ends_with("hello"));
}

#[tokio::test(start_paused = true)]
async fn of_sources_with_as_many_who_waits_longest_for_an_answer_goes_where_all_wait() {
    let server = Server::start(Limits::Replace { most: 2, per_source: 2 });
    let mut clients = Vec::new();
    for _ in 0..2 {
        clients.push(server.connect(NEVER).await);
        settled().await;
        tokio::time::advance(Duration::from_millis(10)).await;
    }
    let third = server.connect(HELLO).await;
    settled().await;
    assert_eq!(clients.iter_mut().map(is_closed).collect::<Vec<_>>(), [true, false]);
    assert!(rest(third).await.0.ends_with("hello"));
}

#[tokio::test(start_paused = true)]
async fn who_has_been_answered_goes_before_who_waits() {
    let server = Server::start(Limits::Replace { most: 2, per_source: 2 });
    let mut waiting = server.connect(NEVER).await;
    settled().await;
    tokio::time::advance(Duration::from_millis(10)).await;
    let answered = server.connect(HELLO).await;
    settled().await;
    let third = server.connect("").await;
    settled().await;
    assert!(!is_closed(&mut waiting));
    let (said, after) = rest(answered).await;
    assert!(said.ends_with("hello") && after < HEADERS / 2, "{after:?}");
    drop(third);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_comes_again_and_again_takes_only_its_own_places() {
    let server = Server::start(Limits::Replace { most: 64, per_source: 2 });
    let mut quiet = server.connect_from(Some("10.0.0.1"), "").await;
    settled().await;
    for greedy in [["10.0.0.2", "::ffff:10.0.0.2"], ["fd00::1", "fd00::2:3:4:5"]] {
        let mut own = Vec::new();
        for address in greedy.iter().cycle().take(100) {
            own.push(server.connect_from(Some(address), "").await);
            settled().await;
        }
        let still: Vec<_> = own.iter_mut().map(|client| !is_closed(client)).collect();
        assert_eq!(still.iter().filter(|still| **still).count(), 2, "{greedy:?}");
        assert!(still.ends_with(&[true, true]) && !is_closed(&mut quiet));
    }
}

#[tokio::test(start_paused = true)]
async fn sources_with_many_connections_make_room_before_one_that_has_one_whatever_they_do() {
    for greedy in ["", NEVER] {
        let server = Server::start(Limits::Replace { most: 8, per_source: 4 });
        let mut newcomer = server.connect_from(Some("10.0.0.1"), "").await;
        settled().await;
        let mut others = Vec::new();
        for address in ["10.0.0.2", "10.0.0.3"].iter().cycle().take(40) {
            tokio::time::advance(Duration::from_millis(10)).await;
            others.push(server.connect_from(Some(address), greedy).await);
            settled().await;
        }
        assert!(!is_closed(&mut newcomer), "{greedy:?}");
        assert_eq!(others.iter_mut().filter_map(|other| (!is_closed(other)).then_some(())).count(), 7);
    }
}

#[tokio::test(start_paused = true)]
async fn where_all_of_a_source_wait_for_answers_the_newest_goes() {
    for most in [64, 3] {
        let server = Server::start(Limits::Replace { most, per_source: 3 });
        let mut clients = Vec::new();
        for _ in 0..3 {
            clients.push(server.connect_from(Some("10.0.0.1"), NEVER).await);
            settled().await;
            tokio::time::advance(Duration::from_millis(10)).await;
        }
        let fourth = server.connect_from(Some("10.0.0.1"), HELLO).await;
        settled().await;
        let closed: Vec<_> = clients.iter_mut().map(is_closed).collect();
        assert_eq!(closed, [false, false, true], "the first is served next, of {most}");
        assert!(rest(fourth).await.0.ends_with("hello"));
    }
}

#[tokio::test(start_paused = true)]
async fn who_has_proved_who_he_is_goes_for_nobody_and_takes_nobodys_place() {
    let mut guests = Guests::new(Limits::Replace { most: 2, per_source: 2 });
    let mut pulses = Vec::new();
    let from = Some("10.0.0.1".parse().unwrap());
    let mut admit = |guests: &mut Guests| {
        let full = guests.admit(from, |pulse| {
            pulses.push(pulse);
            std::future::pending()
        });
        (full, Arc::clone(pulses.last().unwrap()))
    };
    for _ in 0..10 {
        let (full, pulse) = admit(&mut guests);
        assert_eq!(full, None);
        pulse.stays();
        // Nothing brings it back among those who have to go.
        pulse.rests();
    }
    let full: Vec<_> = (0..4).map(|_| admit(&mut guests).0).collect();
    assert_eq!(full, [None, None, Some(Full::Source), Some(Full::Source)]);
    assert!(!guests.has_room(), "two are on their way out");
    timeout(HEADERS, guests.gone()).await.unwrap();
    assert!(guests.has_room());
    timeout(HEADERS, guests.gone()).await.unwrap();
    assert!(timeout(HEADERS, guests.gone()).await.is_err(), "twelve are left, and stay");
    assert_eq!(admit(&mut guests).0, Some(Full::Source));
}
