//! Through both tunnels an end is an end and a reset is a reset.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::Receiver;

use culvert_lab::{Behaviour, Service, bulk};
use culvert_sys::tcp;

use crate::harness::talk::{Ending, SOON, exchange_on, read_to_end, reporting};

use super::envoy::{Rig, rig};
use super::rig::PORT;

/// An application that does one thing with a connection, and what it made of each.
fn application<T: Send + 'static>(
    rig: &Rig,
    name: &str,
    serve: impl Fn(TcpStream) -> T + Send + Sync + 'static,
) -> (Service, Receiver<T>) {
    let (behaviour, reports) = reporting(serve);
    (rig.networks.application(name, behaviour).0, reports)
}

fn call(rig: &Rig, service: &Service) -> TcpStream {
    rig.networks.client.connect((service.ip4(), PORT), SOON).unwrap()
}

#[test]
fn the_client_may_end_first_and_go_on_reading() {
    const ANSWER: u64 = 300_000;
    let rig = rig();
    let (service, heard) = application(&rig, "listens-first", |mut stream| {
        let question = read_to_end(&mut stream);
        bulk::send(&mut stream, ANSWER).unwrap();
        question
    });
    let mut stream = call(&rig, &service);
    stream.write_all(b"that is all I have to say").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(bulk::receive(&mut stream).unwrap(), bulk::Digest::of_pattern(ANSWER));
    let question = Ending::Complete(b"that is all I have to say".to_vec());
    assert_eq!(heard.recv_timeout(SOON).unwrap(), question);
}

#[test]
fn the_server_may_end_first_and_go_on_reading() {
    const SPEECH: u64 = 300_000;
    let rig = rig();
    let (service, heard) = application(&rig, "only-listens", |mut stream| {
        stream.write_all(b"I only listen").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        bulk::receive(&mut stream).map_err(|error| error.kind())
    });
    let mut stream = call(&rig, &service);
    assert_eq!(read_to_end(&mut stream), Ending::Complete(b"I only listen".to_vec()));
    let sent = bulk::send(&mut stream, SPEECH).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(heard.recv_timeout(SOON).unwrap(), Ok(sent));
}

#[test]
fn a_reset_of_the_server_reaches_the_client() {
    let rig = rig();
    let (service, _) = rig.networks.application("resets", Behaviour::ResetAfter(4));
    let mut stream = call(&rig, &service);
    stream.write_all(b"1234").unwrap();
    assert_eq!(read_to_end(&mut stream), Ending::Reset);
}

#[test]
fn a_reset_of_the_client_reaches_the_server() {
    let rig = rig();
    let (service, endings) = application(&rig, "is-reset", |mut stream| {
        stream.write_all(b"!").unwrap();
        read_to_end(&mut stream)
    });
    let mut stream = call(&rig, &service);
    stream.read_exact(&mut [0]).unwrap();
    tcp::reset_on_close(&stream).unwrap();
    drop(stream);
    assert_eq!(endings.recv_timeout(SOON).unwrap(), Ending::Reset);
}

#[test]
fn a_reset_after_the_other_ones_end_is_still_a_reset() {
    let rig = rig();
    let (service, _) = application(&rig, "resets-late", |mut stream| {
        assert_eq!(read_to_end(&mut stream), Ending::Complete(b"question".to_vec()));
        stream.write_all(b"half an ans").unwrap();
        tcp::reset_on_close(&stream).unwrap();
    });
    assert_eq!(exchange_on(call(&rig, &service), b"question"), Ending::Reset);

    let (service, endings) = application(&rig, "is-reset-late", |mut stream| {
        stream.shutdown(Shutdown::Write).unwrap();
        read_to_end(&mut stream)
    });
    let mut stream = call(&rig, &service);
    assert_eq!(read_to_end(&mut stream), Ending::Complete(Vec::new()));
    stream.write_all(b"half a sent").unwrap();
    tcp::reset_on_close(&stream).unwrap();
    drop(stream);
    assert_eq!(endings.recv_timeout(SOON).unwrap(), Ending::Reset);
}

#[test]
fn a_reset_in_the_middle_of_bulk_data_stops_the_sender() {
    let rig = rig();
    let (service, _) = rig.networks.application("has-enough", Behaviour::ResetAfter(100_000));
    let error = bulk::send(&mut call(&rig, &service), 1 << 30).unwrap_err();
    let kinds = [io::ErrorKind::ConnectionReset, io::ErrorKind::BrokenPipe];
    assert!(kinds.contains(&error.kind()), "{error}");
}

#[test]
fn an_early_answer_arrives_whole_before_the_reset() {
    const ANSWER: &[u8] = &[b'a'; 300];
    let rig = rig();
    let (service, _) = application(&rig, "answers-early", |mut stream| {
        stream.read_exact(&mut [0]).unwrap();
        // Closing with the rest of the request unread resets the connection.
        stream.write_all(ANSWER).unwrap();
    });
    for _ in 0..10 {
        let mut stream = call(&rig, &service);
        stream.write_all(&[b'q'; 100]).unwrap();
        let mut answer = Vec::new();
        let ending = stream.read_to_end(&mut answer).map_err(|error| error.kind());
        assert_eq!((ending, &*answer), (Err(io::ErrorKind::ConnectionReset), ANSWER));
    }
}

#[test]
fn an_application_that_is_not_there_is_a_reset_not_an_empty_answer() {
    let rig = rig();
    let (service, application) = rig.networks.application("gone", Behaviour::Echo);
    application.stop();
    assert_eq!(exchange_on(call(&rig, &service), b"anybody?"), Ending::Reset);
}
