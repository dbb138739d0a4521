//! Handshakes that fail: we say why, and so does the alert for the peer.

use std::error::Error as _;
use std::sync::Arc;

use culvert_core::tunnel::Fault;
use culvert_core::tunnel::record::{Alert, Layer};
use culvert_tls::{Error, Handshake, Progress};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{AlertDescription, CertificateError, DigitallySignedStruct, OtherError, SignatureScheme};

use crate::link::{End, Failure, converse};
use crate::pki::{Authority, Configs, SUITES, Trust, algorithms, layer};

const UNKNOWN_CA: Alert = Alert(48);

fn tls_error(failure: Failure) -> rustls::Error {
    match failure {
        Failure::Handshake(Error::Tls(error)) => error,
        Failure::Handshake(_) | Failure::Record(_) => panic!("another failure: {failure:?}"),
    }
}

fn alert(failure: Failure) -> Alert {
    match failure {
        Failure::Handshake(Error::Tls(rustls::Error::AlertReceived(alert))) => Alert(u8::from(alert)),
        // Under TLS 1.3 the client is done before the server has seen its certificate.
        Failure::Record(Fault::Alert(alert)) => alert,
        Failure::Handshake(_) | Failure::Record(_) => panic!("not an alert: {failure:?}"),
    }
}

#[test]
fn a_client_that_is_not_trusted_is_told_so() {
    let (trusted, other) = (Authority::new("trusted"), Authority::new("other"));
    for suite in SUITES {
        let trust = Trust { trusted: &trusted, client: &other, server: &trusted, ballast: 0 };
        let configs = Configs::with(suite, &trust);
        let (mut client, mut server) = (End::client(&configs), End::server(&configs));
        let failure = converse(&mut client, &mut server, usize::MAX).unwrap_err();
        let unknown = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        assert_eq!(tls_error(failure), unknown, "{suite:?}");
        assert_eq!(alert(client.receive(&server.out).unwrap_err()), UNKNOWN_CA, "{suite:?}");
    }
}

#[test]
fn a_server_that_is_not_trusted_is_told_so() {
    let (trusted, other) = (Authority::new("trusted"), Authority::new("other"));
    for suite in SUITES {
        let trust = Trust { trusted: &trusted, client: &trusted, server: &other, ballast: 0 };
        let configs = Configs::with(suite, &trust);
        let (mut client, mut server) = (End::client(&configs), End::server(&configs));
        let failure = converse(&mut client, &mut server, usize::MAX).unwrap_err();
        let unknown = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        assert_eq!(tls_error(failure), unknown, "{suite:?}");
        assert_eq!(alert(server.receive(&client.out).unwrap_err()), UNKNOWN_CA, "{suite:?}");
    }
}

#[derive(Debug, PartialEq, thiserror::Error)]
#[error("nobody is good enough")]
struct NotGoodEnough;

#[derive(Debug)]
struct Disdain;

impl ServerCertVerifier for Disdain {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Err(CertificateError::Other(OtherError(Arc::new(NotGoodEnough))).into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &algorithms())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &algorithms())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        algorithms().supported_schemes()
    }
}

#[test]
fn the_reason_of_a_verifier_can_be_found_in_the_error() {
    let mut configs = Configs::new(SUITES[0]);
    configs.client.dangerous().set_certificate_verifier(Arc::new(Disdain));
    let (mut client, mut server) = (End::client(&configs), End::server(&configs));
    let Failure::Handshake(error) = converse(&mut client, &mut server, usize::MAX).unwrap_err() else {
        panic!("not the handshake failed");
    };
    let source = error.source().unwrap().downcast_ref::<rustls::Error>();
    let Some(rustls::Error::InvalidCertificate(CertificateError::Other(reason))) = source else {
        panic!("another source: {source:?}");
    };
    assert_eq!(reason.0.downcast_ref(), Some(&NotGoodEnough));
    let told = alert(server.receive(&client.out).unwrap_err());
    assert_eq!(AlertDescription::from(told.0), AlertDescription::CertificateUnknown);
}

#[test]
fn what_is_no_tls_is_answered_with_an_alert() {
    let configs = Configs::new(SUITES[0]);
    for piece in [1, 5, usize::MAX] {
        let mut server = End::server(&configs);
        let mut pieces = b"GET / HTTP/1.1\r\n\r\n".chunks(piece);
        let failure = pieces.find_map(|bytes| server.receive(bytes).err()).unwrap();
        assert!(matches!(tls_error(failure), rustls::Error::InvalidMessage(_)));
        // One alert record, fatal: decode_error.
        assert_eq!(server.out, [21, 3, 3, 0, 2, 2, 50]);
    }
}

/// The first flight that ends with a tag: the server's under TLS 1.3, the client's second under TLS 1.2.
#[test]
fn a_changed_record_is_answered_with_an_alert() {
    for suite in SUITES {
        let configs = Configs::new(suite);
        let (mut sender, mut receiver) = (End::server(&configs), End::client(&configs));
        receiver.receive(&[]).unwrap();
        sender.receive(&std::mem::take(&mut receiver.out)).unwrap();
        if layer(suite) == Layer::Tls12 {
            receiver.receive(&std::mem::take(&mut sender.out)).unwrap();
            std::mem::swap(&mut sender, &mut receiver);
        }
        *sender.out.last_mut().unwrap() ^= 1;
        let failure = receiver.receive(&sender.out).unwrap_err();
        assert_eq!(tls_error(failure), rustls::Error::DecryptError, "{suite:?}");
        assert_eq!(alert(sender.receive(&receiver.out).unwrap_err()), Alert::BAD_RECORD_MAC, "{suite:?}");
    }
}

#[test]
fn a_beginning_is_waited_on() {
    let configs = Configs::new(SUITES[0]);
    let mut client = End::client(&configs);
    client.receive(&[]).unwrap();
    for length in 0..client.out.len() {
        let server = Handshake::server(Arc::new(configs.server.clone())).unwrap();
        let mut output = Vec::new();
        let progress = server.receive(&client.out[..length], &mut output).unwrap();
        assert!(matches!(progress, Progress::More(_)));
        assert!(output.is_empty(), "after {length} octets");
    }
}
