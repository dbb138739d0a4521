//! Streams that a peer takes back in the same breath in which it asks for them.

use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;

use super::early::offers;
use super::peer::{END_HEADERS, HEADERS, RST_STREAM, SETTINGS};
use super::*;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A request for a stream: `:method` and `:authority` with values as they are (RFC 7541 §6.2.2).
fn asks(stream: u32, authority: &str) -> Vec<u8> {
    let length = u8::try_from(authority.len()).unwrap();
    let block = [b"\x02\x07CONNECT\x01", &[length][..], authority.as_bytes()].concat();
    frame(HEADERS, END_HEADERS, stream, &block)
}

fn resets(stream: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())
}

#[tokio::test]
async fn only_streams_that_are_still_wanted_are_handed_out() {
    let authority = TestAuthority::new("one");
    let (respond, mut offers) = offers();
    let server = Server::start(&authority, respond).await;
    let tcp = TcpStream::connect(server.address).await.unwrap();
    let config = authority.good(&account("client")).client_config(&[account("web")]);
    let name = ServerName::try_from("192.0.2.1").unwrap();
    let mut tls = TlsConnector::from(config).connect(name, tcp).await.unwrap();
    // All in one record, which is read at once.
    let said = [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        frame(SETTINGS, 0, 0, &[]),
        asks(1, "taken.back:1"),
        asks(3, "is.wanted:3"),
        resets(1),
        asks(5, "taken.back:5"),
        resets(5),
        asks(7, "is.wanted:7"),
    ];
    tls.write_all(&said.concat()).await.unwrap();
    tls.flush().await.unwrap();
    for wanted in ["is.wanted:3", "is.wanted:7"] {
        assert_eq!(soon(offers.recv()).await.unwrap().authority(), wanted);
    }
}
