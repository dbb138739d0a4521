//! Frames as a peer writes them, and ours as a person reads them.

use super::super::frame::{self, HEAD, Head, Kind, PREFACE};
use super::super::{By, Code, Event};
use crate::tunnel::hpack::{self, Decoder};

pub(in crate::tunnel) const END_STREAM: u8 = frame::END_STREAM;
pub(in crate::tunnel) const END_HEADERS: u8 = frame::END_HEADERS;
pub(in crate::tunnel) const PADDED: u8 = frame::PADDED;
pub(in crate::tunnel) const PRIORITY: u8 = frame::PRIORITY;

/// A frame of any kind, right or wrong.
pub(in crate::tunnel) fn raw(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut octets = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    octets.extend([kind, flags]);
    octets.extend(stream.to_be_bytes());
    octets.extend(payload);
    octets
}

pub(in crate::tunnel) const DATA: u8 = 0;
pub(in crate::tunnel) const HEADERS: u8 = 1;
pub(in crate::tunnel) const PRIORITY_FRAME: u8 = 2;
pub(in crate::tunnel) const RST_STREAM: u8 = 3;
pub(in crate::tunnel) const SETTINGS: u8 = 4;
pub(in crate::tunnel) const PUSH_PROMISE: u8 = 5;
pub(in crate::tunnel) const PING: u8 = 6;
pub(in crate::tunnel) const GOAWAY: u8 = 7;
pub(in crate::tunnel) const WINDOW_UPDATE: u8 = 8;
pub(in crate::tunnel) const CONTINUATION: u8 = 9;
pub(in crate::tunnel) const UNKNOWN: u8 = 0xbb;

/// What a client sends first.
pub(in crate::tunnel) fn preface() -> Vec<u8> {
    [PREFACE.as_slice(), &settings(&[])].concat()
}

pub(in crate::tunnel) fn settings(all: &[(u16, u32)]) -> Vec<u8> {
    let mut octets = Vec::new();
    frame::put_settings(&mut octets, all);
    octets
}

pub(in crate::tunnel) fn settings_ack() -> Vec<u8> {
    raw(SETTINGS, frame::ACK, 0, &[])
}

pub(in crate::tunnel) fn ping(payload: &[u8; 8]) -> Vec<u8> {
    raw(PING, 0, 0, payload)
}

pub(in crate::tunnel) fn ping_ack(payload: &[u8; 8]) -> Vec<u8> {
    raw(PING, frame::ACK, 0, payload)
}

pub(in crate::tunnel) fn window_update(stream: u32, increment: u32) -> Vec<u8> {
    raw(WINDOW_UPDATE, 0, stream, &increment.to_be_bytes())
}

pub(in crate::tunnel) fn rst_stream(stream: u32, code: Code) -> Vec<u8> {
    raw(RST_STREAM, 0, stream, &code.0.to_be_bytes())
}

pub(in crate::tunnel) fn goaway(last: u32, code: Code) -> Vec<u8> {
    raw(GOAWAY, 0, 0, &[last.to_be_bytes(), code.0.to_be_bytes()].concat())
}

pub(in crate::tunnel) fn data(stream: u32, payload: &[u8]) -> Vec<u8> {
    raw(DATA, 0, stream, payload)
}

pub(in crate::tunnel) fn data_end(stream: u32, payload: &[u8]) -> Vec<u8> {
    raw(DATA, END_STREAM, stream, payload)
}

/// A header block.
pub(in crate::tunnel) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    hpack::encode_table_size_0(&mut block);
    for (name, value) in fields {
        hpack::encode_field(&mut block, name.as_bytes(), value.as_bytes());
    }
    block
}

pub(in crate::tunnel) fn headers(stream: u32, fields: &[(&str, &str)]) -> Vec<u8> {
    raw(HEADERS, END_HEADERS, stream, &block(fields))
}

pub(in crate::tunnel) fn headers_end(stream: u32, fields: &[(&str, &str)]) -> Vec<u8> {
    raw(HEADERS, END_HEADERS | END_STREAM, stream, &block(fields))
}

/// A request for a stream to `a:1`.
pub(in crate::tunnel) fn connect(stream: u32) -> Vec<u8> {
    headers(stream, &[(":method", "CONNECT"), (":authority", "a:1")])
}

/// The answer to one.
pub(in crate::tunnel) fn ok(stream: u32) -> Vec<u8> {
    headers(stream, &[(":status", "200")])
}

/// Takes frames apart, one line for each.
pub(in crate::tunnel) fn read(octets: &[u8], decoder: &mut Decoder) -> Vec<String> {
    let mut rest = octets.strip_prefix(PREFACE).unwrap_or(octets);
    let mut lines = Vec::new();
    let mut unfinished = Vec::new();
    while let Some((head, after)) = rest.split_first_chunk::<HEAD>() {
        let head = Head::parse(*head);
        // The payload of DATA is somebody else's to send.
        let length = if head.kind == Kind::Data { 0 } else { head.length as usize };
        let (payload, after) = after.split_at(length);
        rest = after;
        unfinished.extend_from_slice(payload);
        let is_block = matches!(head.kind, Kind::Headers | Kind::Continuation);
        if !is_block || head.has(END_HEADERS) {
            lines.push(line(head, &unfinished, decoder));
            unfinished.clear();
        }
    }
    assert_eq!(rest, [0; 0], "whole frames");
    lines
}

fn line(head: Head, payload: &[u8], decoder: &mut Decoder) -> String {
    let Head { kind, stream, length, .. } = head;
    let number = |at: usize| u32::from_be_bytes(*payload[at..].first_chunk().unwrap());
    let ack = if head.has(frame::ACK) { " ack" } else { "" };
    let end = if head.has(END_STREAM) { " end" } else { "" };
    match kind {
        Kind::Data => format!("DATA {stream} {length}{end}"),
        Kind::Headers | Kind::Continuation => format!("HEADERS {stream}{}{end}", decode(payload, decoder)),
        Kind::Reset => format!("RST_STREAM {stream} {}", Code(number(0))),
        Kind::Settings => format!("SETTINGS{ack}{}", pairs(payload)),
        Kind::Ping => format!("PING{ack} {}", String::from_utf8_lossy(payload)),
        Kind::GoAway => format!("GOAWAY {} {}", number(0), Code(number(4))),
        Kind::WindowUpdate => format!("WINDOW_UPDATE {stream} {}", number(0)),
        Kind::Priority | Kind::PushPromise | Kind::Unknown => panic!("we never send {kind:?}"),
    }
}

fn pairs(payload: &[u8]) -> String {
    let pair = |p: &[u8; 6]| {
        let id = u16::from_be_bytes([p[0], p[1]]);
        format!(" {id:x}={}", u32::from_be_bytes(*p[2..].first_chunk().unwrap()))
    };
    payload.as_chunks().0.iter().map(pair).collect()
}

fn decode(block: &[u8], decoder: &mut Decoder) -> String {
    let mut text = String::new();
    let each = |name: &[u8], value: &[u8]| text.push_str(&field(name, value));
    decoder.decode(block, usize::MAX, each).unwrap();
    text
}

fn field(name: &[u8], value: &[u8]) -> String {
    format!(" {}={}", String::from_utf8_lossy(name), String::from_utf8_lossy(value))
}

/// What an event says; payload is looked up in the input.
pub(in crate::tunnel) fn tell(event: &Event, input: &[u8]) -> String {
    let fields = |fields: &super::Fields| fields.iter().map(|(n, v)| field(n, v)).collect::<String>();
    match event {
        Event::Request { stream, request } => {
            let (method, authority) = (&request.method, &request.authority);
            let [method, authority] = [method, authority].map(|text| String::from_utf8_lossy(text));
            format!("request {stream} {method} {authority}{}", fields(&request.fields))
        }
        Event::Answer { stream, answer } => {
            format!("answer {stream} {}{}", answer.status, fields(&answer.fields))
        }
        Event::Data { stream, place } => {
            format!("data {stream} {}", String::from_utf8_lossy(&input[place.clone()]))
        }
        Event::End { stream } => format!("end {stream}"),
        Event::Reset { stream, code, by: By::Peer } => format!("reset {stream} {code} by peer"),
        Event::Reset { stream, code, by: By::Us } => format!("reset {stream} {code} by us"),
        Event::Refused { stream } => format!("refused {stream}"),
        Event::Room { stream } => format!("room {stream}"),
        Event::Capacity => "capacity".to_owned(),
    }
}
