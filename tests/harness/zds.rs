//! The protocol between agents and nodes as others know it: the agreed messages and fields, and nothing else. Written down here
//! anew, so that what ours say beyond it is passed over, as others do.

use prost::{Message, Oneof};

/// The longest packet either side reads.
pub(crate) const LONGEST: usize = 1024;
/// What a node says first: that it speaks version 1.
pub(crate) const HELLO: [u8; 2] = [0x08, 0x01];

/// What an agent says.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct WorkloadRequest {
    #[prost(oneof = "Request", tags = "1, 2, 3, 5")]
    pub(crate) payload: Option<Request>,
}

/// One of these.
#[derive(Clone, PartialEq, Oneof)]
pub(crate) enum Request {
    #[prost(message, tag = "1")]
    Add(Add),
    #[prost(message, tag = "2")]
    Delete(Delete),
    #[prost(message, tag = "3")]
    SnapshotSent(SnapshotSent),
    #[prost(message, tag = "5")]
    Keep(Keep),
}

/// Serve a pod, in the namespace whose descriptor comes along.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Add {
    #[prost(string, tag = "1")]
    pub(crate) uid: String,
    #[prost(message, optional, tag = "2")]
    pub(crate) workload_info: Option<WorkloadInfo>,
}

/// Who a pod is.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct WorkloadInfo {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(string, tag = "2")]
    pub(crate) namespace: String,
    #[prost(string, tag = "3")]
    pub(crate) service_account: String,
}

/// Stop serving a pod.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Delete {
    #[prost(string, tag = "2")]
    pub(crate) uid: String,
}

/// All pods have been named.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct SnapshotSent {}

/// Go on serving a pod.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Keep {
    #[prost(string, tag = "1")]
    pub(crate) uid: String,
}

/// What a node answers.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct WorkloadResponse {
    #[prost(oneof = "Response", tags = "1")]
    pub(crate) payload: Option<Response>,
}

/// This.
#[derive(Clone, PartialEq, Oneof)]
pub(crate) enum Response {
    #[prost(message, tag = "1")]
    Ack(Ack),
}

/// Done, or why not.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Ack {
    #[prost(string, tag = "1")]
    pub(crate) error: String,
}

/// The bytes of a request.
pub(crate) fn request(payload: Request) -> Vec<u8> {
    WorkloadRequest { payload: Some(payload) }.encode_to_vec()
}

/// The bytes of an answer.
pub(crate) fn answer(error: &str) -> Vec<u8> {
    WorkloadResponse { payload: Some(Response::Ack(Ack { error: error.to_owned() })) }.encode_to_vec()
}

#[test]
fn messages_have_the_agreed_bytes() {
    assert_eq!(request(Request::SnapshotSent(SnapshotSent {})), [0x1a, 0x00]);
    assert_eq!(request(Request::Delete(Delete { uid: "u".into() })), [0x12, 0x03, 0x12, 0x01, b'u']);
    assert_eq!(answer(""), [0x0a, 0x00]);
    // A field nobody here knows.
    let info = WorkloadInfo::decode(&[0x0a, 0x01, b'n', 0xfa, 0x3e, 0x01, b'x'][..]).unwrap();
    assert_eq!(info, WorkloadInfo { name: "n".into(), ..WorkloadInfo::default() });
}
