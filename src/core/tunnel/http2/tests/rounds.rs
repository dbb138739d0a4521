//! Streams from their request to their end (RFC 9113 §5.1, §8.5).

use super::*;

#[test]
fn a_server_serves() {
    let mut server = Script::server();
    server.gets(connect(1)).tells(&["request 1 CONNECT a:1"]).sends(&[]);
    server.answers(1, 200).sends(&["HEADERS 1 :status=200"]);
    server.gets(data(1, b"hello ")).gets(data(1, b"world")).tells(&["data 1 hello world"]);
    server.consumes(1, 11);
    server.gets(data_end(1, b"bye")).tells(&["data 1 bye", "end 1"]);
    server.sends_data(1, 5).ends(1).consumes(1, 3);
    assert_eq!(server.does(|server| server.streams()), 0);
    server.sends(&[]);
}

#[test]
fn a_client_is_served() {
    let mut client = Script::client();
    assert_eq!(client.opens(), StreamId(1));
    client.sends(&["HEADERS 1 :method=CONNECT :authority=a:1"]);
    client.gets(headers(1, &[(":status", "200"), ("x", "y")])).tells(&["answer 1 200 x=y"]);
    client.gets(data_end(1, b"hi")).tells(&["data 1 hi", "end 1"]);
    assert_eq!(client.does(|client| client.streams()), 1);
    client.ends(1).consumes(1, 2);
    assert_eq!(client.does(|client| client.streams()), 0);
    assert_eq!(client.opens(), StreamId(3));
}

#[test]
fn either_end_may_end_first() {
    let mut server = Script::server();
    server.gets(connect(1)).answers(1, 200).ends(1).forget();
    server.gets(data(1, b"still ")).gets(data_end(1, b"here")).tells(&["data 1 still here", "end 1"]);
    server.gets(connect(3)).answers(3, 200).gets(data_end(3, b"")).forget();
    assert!(server.does(|server| server.is_sending(StreamId(3)) && !server.is_sending(StreamId(1))));
    server.sends_data(3, 100).ends(3);
    assert!(!server.does(|server| server.is_sending(StreamId(3))));
}

#[test]
fn data_may_come_before_the_answer() {
    let mut server = Script::server();
    server.gets(connect(1)).gets(data_end(1, b"early"));
    server.tells(&["request 1 CONNECT a:1", "data 1 early", "end 1"]).answers(1, 200);
    server.sends(&["HEADERS 1 :status=200"]);
    assert!(server.does(|server| server.is_sending(StreamId(1))));
}

#[test]
fn fields_go_along() {
    let mut client = Script::client();
    let mut fields = Fields::default();
    fields.add(b"baggage", b"k8s.pod=one");
    fields.add(b"baggage", b"two");
    client.does(|client| client.open("[::1]:443", &fields).unwrap());
    client.sends(&["HEADERS 1 :method=CONNECT :authority=[::1]:443 baggage=k8s.pod=one baggage=two"]);
}

/// RFC 9113 §8.1: an answer may end the stream at once.
#[test]
fn an_answer_may_be_all() {
    let mut client = Script::client();
    client.opens();
    client.gets(headers_end(1, &[(":status", "503")])).tells(&["answer 1 503", "end 1"]);
    assert!(client.does(|client| client.is_sending(StreamId(1))));
    client.gets(rst_stream(1, Code::NO_ERROR)).tells(&["reset 1 NO_ERROR by peer"]);
}

#[test]
fn a_refusal_ends_a_request_that_goes_on() {
    let mut server = Script::server();
    server.gets(connect(1)).does(|server| server.answer(StreamId(1), 403, &Fields::default(), true));
    server.sends(&["HEADERS 1 :status=403 end", "RST_STREAM 1 NO_ERROR"]);
    // What was on its way is not listened to.
    server.forget().gets(data(1, b"hello")).gets(data_end(1, b"")).tells(&[]).sends(&[]);
}

#[test]
fn a_refusal_of_a_request_that_is_all() {
    let mut server = Script::server();
    server.gets(headers_end(1, &[(":method", "CONNECT"), (":authority", "a:1")]));
    server.tells(&["request 1 CONNECT a:1", "end 1"]);
    server.does(|server| server.answer(StreamId(1), 403, &Fields::default(), true));
    server.sends(&["HEADERS 1 :status=403 end"]);
    assert_eq!(server.does(|server| server.streams()), 0);
}

#[test]
fn interim_answers_are_skipped() {
    let mut client = Script::client();
    client.opens();
    client.gets(headers(1, &[(":status", "100")])).gets(headers(1, &[(":status", "103"), ("link", "x")]));
    client.tells(&[]).gets(ok(1)).tells(&["answer 1 200"]);
}

#[test]
fn an_interim_answer_cannot_be_all() {
    let mut client = Script::client();
    client.opens();
    client.forget().gets(headers_end(1, &[(":status", "100")]));
    client.tells(&["reset 1 PROTOCOL_ERROR by us"]).sends(&["RST_STREAM 1 PROTOCOL_ERROR"]);
}

#[test]
fn trailers_are_the_end_and_nothing_else() {
    let mut server = Script::server();
    server.gets(connect(1)).answers(1, 200).forget();
    server.gets(headers_end(1, &[("grpc-status", "0"), (":bad", "x")])).tells(&["end 1"]).sends(&[]);
    let mut client = Script::client();
    client.opens();
    client.gets(ok(1)).forget().gets(headers_end(1, &[("a", "b")])).tells(&["end 1"]).sends(&[]);
}

#[test]
fn trailers_that_are_not_the_end_make_no_sense() {
    let mut server = Script::server();
    server.gets(connect(1)).answers(1, 200).forget().gets(headers(1, &[("a", "b")]));
    server.tells(&["reset 1 PROTOCOL_ERROR by us"]).sends(&["RST_STREAM 1 PROTOCOL_ERROR"]);
}

#[test]
fn the_peer_resets() {
    let mut server = Script::server();
    server.gets(connect(1)).answers(1, 200).forget();
    server.gets(rst_stream(1, Code::CANCEL)).tells(&["reset 1 CANCEL by peer"]).sends(&[]);
    assert!(!server.does(|server| server.is_sending(StreamId(1))));
    assert_eq!(server.does(|server| server.room(StreamId(1))), 0);
}

#[test]
fn we_reset() {
    let mut server = Script::server();
    server.gets(connect(1)).answers(1, 200).forget();
    server.does(|server| server.reset(StreamId(1), Code::CANCEL));
    server.sends(&["RST_STREAM 1 CANCEL"]).gets(data(1, b"late")).tells(&[]).sends(&[]);
    server.does(|server| server.reset(StreamId(1), Code::CANCEL));
    server.sends(&[]);
}

/// Both ends know that it is over; nobody reads what is left of it.
#[test]
fn a_closed_stream_is_not_reset() {
    let mut server = Script::server();
    server.gets(connect(1)).answers(1, 200).gets(data_end(1, b"rest")).ends(1).forget();
    server.does(|server| server.reset(StreamId(1), Code::CANCEL));
    server.sends(&[]);
}

/// RFC 9113 §8.7: whatever was not looked at can be asked for again.
#[test]
fn a_refused_stream_is_told_from_one_that_failed() {
    let mut client = Script::client();
    client.opens();
    client.opens();
    client.gets(rst_stream(1, Code::REFUSED_STREAM)).tells(&["refused 1"]);
    client.gets(ok(3)).gets(rst_stream(3, Code::REFUSED_STREAM));
    client.tells(&["answer 3 200", "reset 3 REFUSED_STREAM by peer"]);
}

#[test]
fn a_server_refuses_more_streams_than_it_allows() {
    let mut server = Script::server();
    for n in 0..16 {
        server.gets(connect(2 * n + 1));
    }
    server.forget().gets(connect(33)).tells(&[]).sends(&["RST_STREAM 33 REFUSED_STREAM"]);
    let counted = Overruns { streams: 1, ..Overruns::default() };
    assert_eq!(server.does(Connection::take_overruns), counted);
    assert_eq!(server.does(Connection::take_overruns), Overruns::default(), "each is told of once");
    // Half closed is open still (RFC 9113 §5.1.2).
    server.answers(1, 200).gets(data_end(1, b"")).forget();
    server.gets(connect(35)).tells(&[]).sends(&["RST_STREAM 35 REFUSED_STREAM"]);
    server.ends(1).gets(connect(37)).tells(&["request 37 CONNECT a:1"]);
}

#[test]
fn a_client_opens_as_many_as_it_may() {
    let mut client = Script::client_of(&[(3, 2)]);
    let open = |client: &mut Connection| client.open("a:1", &Fields::default());
    client.opens();
    client.opens();
    assert_eq!(client.forget().does(open), Err(Unopened::Full));
    client.sends(&[]);
    client.gets(settings(&[(3, 3)])).does(open).unwrap();
    // Fewer than there are is no reason to end any.
    client.gets(settings(&[(3, 1)])).gets(rst_stream(1, Code::CANCEL)).gets(rst_stream(3, Code::CANCEL));
    assert_eq!(client.does(open), Err(Unopened::Full));
    client.gets(rst_stream(5, Code::CANCEL)).does(open).unwrap();
    client.gets(settings(&[(3, 0)])).gets(rst_stream(7, Code::CANCEL));
    assert_eq!(client.does(open), Err(Unopened::Full));
}

#[test]
fn numbers_run_out() {
    let mut client = Script::client();
    client.does(|client| client.next = 0x7fff_fffd);
    assert_eq!([client.opens(), client.opens()], [0x7fff_fffd, 0x7fff_ffff].map(StreamId));
    let open = |client: &mut Connection| client.open("a:1", &Fields::default());
    assert_eq!(client.does(open), Err(Unopened::Leaving));
    assert!(!client.does(|client| client.takes_streams()));
}
