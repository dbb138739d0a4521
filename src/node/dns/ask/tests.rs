use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType};

use super::super::tests::upstream::{Upstream as Fake, a, address, reply};
use super::*;
use crate::config::{Config, Environment};

fn messenger() -> Messenger {
    let env = [("LOCAL_XDS", "{}"), ("CA_ADDRESS", "ca:1"), ("PACKET_MARK", "0")];
    let socket = Config::read(&Environment::of(env.into_iter())).unwrap().socket;
    Messenger { netns: None, mark: None, dialer: Dialer::new(None, socket) }
}

fn query() -> Vec<u8> {
    let mut message = Message::query();
    message.add_query(Query::query(Name::from_ascii("WeB.example.").unwrap(), RecordType::A));
    message.to_vec().unwrap()
}

fn of(servers: &[&Fake]) -> Upstream {
    let servers = servers.iter().map(|server| server.address).collect();
    Upstream { servers, timeout: Duration::from_millis(500), attempts: 2 }
}

async fn ask(servers: &[&Fake], transport: Transport) -> Result<Message, Error> {
    let answer = messenger().ask(&of(servers), &query(), transport).await?;
    Ok(Message::from_vec(&answer).unwrap())
}

async fn silent() -> Fake {
    Fake::start(|_, _| Vec::new()).await
}

async fn says(code: ResponseCode) -> Fake {
    Fake::start(move |query, _| vec![reply(query, code).to_vec().unwrap()]).await
}

async fn knows(ip: [u8; 4]) -> Fake {
    Fake::start(move |query, _| vec![address(query, ip).to_vec().unwrap()]).await
}

#[tokio::test]
async fn the_first_server_is_asked_and_the_others_are_left_alone() {
    let (first, second) = (knows([192, 0, 2, 1]).await, knows([192, 0, 2, 2]).await);
    for transport in [Transport::Udp, Transport::Tcp] {
        let answer = ask(&[&first, &second], transport).await.unwrap();
        assert_eq!(answer.answers[0].data, a([192, 0, 2, 1]));
        assert_eq!(answer.queries[0].name.to_ascii(), "WeB.example.", "letters are sent as they are");
    }
    assert_eq!((first.asked(), second.asked()), (2, 0));
}

#[tokio::test]
async fn a_server_that_says_nothing_or_cannot_help_is_followed_by_the_next() {
    let good = knows([192, 0, 2, 2]).await;
    for bad in [silent().await, says(ResponseCode::ServFail).await, says(ResponseCode::Refused).await] {
        let answer = ask(&[&bad, &good], Transport::Udp).await.unwrap();
        assert_eq!((answer.answers.len(), bad.asked()), (1, 1));
    }
    let gone = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let servers = Arc::new([gone, good.address]);
    let upstream = Upstream { servers, ..of(&[]) };
    messenger().ask(&upstream, &query(), Transport::Udp).await.unwrap();
}

#[tokio::test]
async fn no_such_name_is_an_answer_and_the_next_is_not_asked() {
    let (first, second) = (says(ResponseCode::NXDomain).await, knows([192, 0, 2, 2]).await);
    let answer = ask(&[&first, &second], Transport::Udp).await.unwrap();
    assert_eq!((answer.metadata.response_code, second.asked()), (ResponseCode::NXDomain, 0));
}

#[tokio::test]
async fn when_nobody_can_help_what_was_said_is_passed_on() {
    let (first, second) = (silent().await, says(ResponseCode::Refused).await);
    let answer = ask(&[&second, &first], Transport::Udp).await.unwrap();
    assert_eq!(answer.metadata.response_code, ResponseCode::Refused);
}

#[tokio::test]
async fn when_nobody_says_anything_all_are_asked_again_and_then_it_is_over() {
    let (first, second) = (silent().await, silent().await);
    let error = ask(&[&first, &second], Transport::Udp).await.unwrap_err();
    assert!(matches!(error, Error::Silent { server, .. } if server == second.address), "{error}");
    assert_eq!((first.asked(), second.asked()), (2, 2));
    let nobody = ask(&[], Transport::Udp).await.unwrap_err();
    assert!(matches!(nobody, Error::NobodyToAsk), "{nobody}");
}

#[tokio::test]
async fn what_answers_something_else_is_not_taken_for_the_answer() {
    let server = Fake::start(|query, _| {
        let right = address(query, [192, 0, 2, 1]);
        let mut other_number = right.clone();
        other_number.metadata.id = !right.metadata.id;
        let mut other_question = right.clone();
        other_question.queries[0].name = Name::from_ascii("web.other.").unwrap();
        let forged = [other_number, other_question].map(|message| message.to_vec().unwrap());
        forged.into_iter().chain([vec![1; 5], right.to_vec().unwrap()]).collect()
    });
    let server = server.await;
    for transport in [Transport::Udp, Transport::Tcp] {
        let answer = ask(&[&server], transport).await.unwrap();
        assert_eq!(answer.queries[0].name.to_ascii(), "WeB.example.");
    }
}

#[tokio::test]
async fn a_cut_answer_is_fetched_whole_over_tcp_and_taken_cut_without() {
    let whole = |has_tcp: bool| {
        Fake::start(move |query, transport| {
            let mut answer = address(query, [192, 0, 2, 1]);
            answer.metadata.truncation = transport == Transport::Udp;
            if transport == Transport::Tcp && !has_tcp { Vec::new() } else { vec![answer.to_vec().unwrap()] }
        })
    };
    let answer = ask(&[&whole(true).await], Transport::Udp).await.unwrap();
    assert!(!answer.metadata.truncation);
    // Nobody listens on TCP at this address.
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let server = socket.local_addr().unwrap();
    let serve = tokio::spawn(async move {
        let mut buffer = [0; 512];
        let (length, client) = socket.recv_from(&mut buffer).await.unwrap();
        let mut answer = address(&Message::from_vec(&buffer[..length]).unwrap(), [192, 0, 2, 1]);
        answer.metadata.truncation = true;
        socket.send_to(&answer.to_vec().unwrap(), client).await.unwrap();
    });
    let upstream = Upstream { servers: Arc::new([server]), ..of(&[]) };
    let answer = messenger().ask(&upstream, &query(), Transport::Udp).await.unwrap();
    assert!(wire::is_truncated(&answer));
    serve.await.unwrap();
}

#[tokio::test]
async fn numbers_and_ports_are_drawn_anew_for_each_query() {
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let server = {
        let seen = Arc::clone(&seen);
        Fake::start(move |query, _| {
            seen.lock().unwrap().push(query.metadata.id);
            vec![reply(query, ResponseCode::NoError).to_vec().unwrap()]
        })
    };
    let server = server.await;
    for _ in 0..8 {
        ask(&[&server], Transport::Udp).await.unwrap();
    }
    let mut ids = seen.lock().unwrap().clone();
    ids.sort_unstable();
    ids.dedup();
    assert!(ids.len() > 4, "{ids:?}");
}

#[tokio::test]
async fn over_tcp_a_server_has_the_time_of_all_attempts() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = listener.local_addr().unwrap();
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut query = vec![0; stream.read_u16().await.unwrap().into()];
        stream.read_exact(&mut query).await.unwrap();
        // Longer than one datagram is waited for, and less than two are.
        tokio::time::sleep(Duration::from_millis(700)).await;
        let answer = address(&Message::from_vec(&query).unwrap(), [192, 0, 2, 1]).to_vec().unwrap();
        stream.write_all(&framed(&answer).unwrap()).await.unwrap();
    };
    let upstream = Upstream { servers: Arc::new([server]), ..of(&[]) };
    let (messenger, query) = (messenger(), query());
    let asking = messenger.ask(&upstream, &query, Transport::Tcp);
    let (answer, ()) = tokio::join!(asking, serve);
    answer.unwrap();
}

#[tokio::test]
async fn a_server_that_says_nothing_over_tcp_is_asked_once() {
    let silent = silent().await;
    ask(&[&silent], Transport::Tcp).await.unwrap_err();
    assert_eq!(silent.asked(), 1);
}

#[test]
fn over_tcp_all_servers_are_asked_within_the_time_of_all_attempts() {
    let server = "192.0.2.53:53".parse().unwrap();
    for (count, attempts, expected) in [(1, 2, 10), (2, 2, 5), (3, 2, 5), (3, 5, 8), (0, 2, 10), (1, 1, 5)] {
        let servers = std::iter::repeat_n(server, count).collect();
        let upstream = Upstream { servers, timeout: Duration::from_secs(5), attempts };
        assert_eq!(upstream.patience(Transport::Tcp).as_secs(), expected);
        assert_eq!(upstream.patience(Transport::Udp).as_secs(), 5);
    }
}
