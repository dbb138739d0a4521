//! Asks the control plane of a cluster for an identity, as whoever has got hold of a node's token would: nothing else is in between.

use std::fs;

use culvert_proto::ca::IstioCertificateRequest;
use prost::Message as _;
use prost_types::value::Kind;
use prost_types::{Struct, Value};
use rcgen::{CertificateParams, KeyPair};

use super::command::run_in;
use super::standalone::Standalone;

const METHOD: &str = "istio.v1.auth.IstioCertificateService/CreateCertificate";

/// Asks with the token of the node's proxy; gives the reason of a refusal, and nothing when a certificate is given.
#[track_caller]
pub(crate) fn refusal_of(cluster: &Standalone, identity: &str) -> Option<String> {
    let lab = &cluster.node.lab;
    let body = lab.directory().join("certificate-request");
    fs::write(&body, framed(&request(identity))).unwrap();
    let token = fs::read_to_string(cluster.token()).unwrap();
    let (roots, body) = (cluster.roots().display().to_string(), format!("@{}", body.display()));
    let (url, bearer) =
        (format!("https://{}/{METHOD}", lab.control_address()), format!("authorization: Bearer {token}"));
    let words = [
        "curl",
        "-sS",
        "--http2",
        "--cacert",
        &roots,
        "-D",
        "-",
        "-o",
        "/dev/null",
        "-H",
        &bearer,
        "-H",
        "content-type: application/grpc",
        "-H",
        "te: trailers",
        "--data-binary",
        &body,
        &url,
    ];
    let heads = run_in(lab.control_netns(), &words).unwrap();
    let named = |name: &str| heads.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    match named("grpc-status:") {
        Some("0") => None,
        Some(_) => Some(named("culvert-reason:").unwrap_or_else(|| panic!("{heads}")).to_owned()),
        None => panic!("no status: {heads}"),
    }
}

fn request(identity: &str) -> IstioCertificateRequest {
    let csr = CertificateParams::default().serialize_request(&KeyPair::generate().unwrap()).unwrap();
    let identity = Value { kind: Some(Kind::StringValue(identity.to_owned())) };
    IstioCertificateRequest {
        csr: csr.pem().unwrap(),
        validity_duration: 3600,
        metadata: Some(Struct { fields: [("ImpersonatedIdentity".to_owned(), identity)].into() }),
    }
}

/// A message as gRPC frames it: not compressed, and how long it is.
fn framed(message: &IstioCertificateRequest) -> Vec<u8> {
    let message = message.encode_to_vec();
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[0], &length[..], &message].concat()
}
