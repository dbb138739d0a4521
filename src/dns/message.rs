//! Messages: queries are read, and answers of our own written.
//!
//! In go the bytes of a message; out comes a [`Query`], or what is to be said of a message that is none. What others answer
//! is passed on as it came and only read where it has to be.

use hickory_proto::op::{
    Edns, Header, Message, MessageType, Metadata, OpCode, Query as Question, ResponseCode,
};
use hickory_proto::rr::{DNSClass, Name, RecordType};
use hickory_proto::serialize::binary::{BinDecodable as _, BinDecoder};

use crate::wire;

/// How a message came, and how its answer goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// A datagram.
    Udp,
    /// One of many on a connection.
    Tcp,
}

impl Transport {
    /// As metrics name it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        }
    }
}

/// A message of a client.
#[derive(Debug)]
pub enum Received {
    /// Too short to be answered, or an answer itself.
    Nothing,
    /// Not in order; this is what to say.
    Wrong(Option<Vec<u8>>),
    /// Something else than a query, such as an update: to be passed on unread.
    Operation(Operation),
    /// A question.
    Query(Query),
}

/// A message that is passed on unread.
#[derive(Debug)]
pub struct Operation {
    /// The message as it came.
    pub wire: Vec<u8>,
    asked: Metadata,
}

/// A message with one question.
#[derive(Debug)]
pub struct Query {
    /// The message as it came.
    pub wire: Vec<u8>,
    message: Message,
    /// The name in lower case, labels joined by dots; `None` for one that cannot be written so.
    text: Option<String>,
    /// The longest answer the client takes.
    limit: usize,
}

/// The longest query that is read: names can be written so that reading them takes time by the square of their length. Queries
/// have a hundred bytes, or with padding a few hundred.
const LONGEST_READ: usize = 1024;
/// The longest answer of others that is read to make a shorter one of it.
const LONGEST_CUT: usize = 6 * 1024;
/// The longest answer that is sent in a datagram, whatever the client would take.
const LONGEST_DATAGRAM: u16 = 4096;
/// What the client takes over TCP.
const LONGEST: usize = u16::MAX as usize;

/// Reads a message of a client.
#[must_use]
pub fn receive(wire: Vec<u8>, transport: Transport) -> Received {
    let Ok(header) = Header::read(&mut BinDecoder::new(&wire)) else { return Received::Nothing };
    if header.message_type == MessageType::Response {
        return Received::Nothing;
    }
    if header.op_code != OpCode::Query {
        return Received::Operation(Operation { wire, asked: header.metadata });
    }
    // Before the rest is read: reading costs far more than sending, and what follows a question is at most the SOA of a transfer,
    // EDNS and a signature.
    let counts = &header.counts;
    let in_order =
        counts.queries == 1 && counts.answers == 0 && counts.authorities <= 1 && counts.additionals <= 2;
    if !in_order || wire.len() > LONGEST_READ {
        return Received::Wrong(bare(&header.metadata, ResponseCode::FormErr));
    }
    let Ok(message) = Message::from_vec(&wire) else {
        return Received::Wrong(bare(&header.metadata, ResponseCode::FormErr));
    };
    let query = Query::new(wire, message, transport);
    if query.message.version() > 0 {
        return Received::Wrong(fit(query.answer(ResponseCode::BADVERS), query.limit));
    }
    Received::Query(query)
}

/// Reads what somebody else has answered; `None` when it cannot be read.
///
/// It is looked through to its end first: room is made for as many questions as an answer says it repeats, which may be all there
/// can be of them.
#[must_use]
pub fn read(answer: &[u8]) -> Option<Message> {
    wire::times(answer)?;
    Message::from_vec(answer).ok()
}

impl Operation {
    /// Says that it cannot be done.
    #[must_use]
    pub fn not_implemented(&self) -> Option<Vec<u8>> {
        bare(&self.asked, ResponseCode::NotImp)
    }

    /// Passes on what was answered to a copy of it.
    #[must_use]
    pub fn pass_on(&self, mut answer: Vec<u8>) -> Vec<u8> {
        wire::set_id(&mut answer, self.asked.id);
        answer
    }

    /// Says that whom it is for did not answer.
    #[must_use]
    pub fn failed(&self) -> Option<Vec<u8>> {
        bare(&self.asked, ResponseCode::ServFail)
    }
}

impl Query {
    fn new(wire: Vec<u8>, message: Message, transport: Transport) -> Self {
        let limit = match transport {
            Transport::Udp => usize::from(message.max_payload().min(LONGEST_DATAGRAM)),
            Transport::Tcp => LONGEST,
        };
        let text = message.queries.first().and_then(|question| text(&question.name));
        Self { wire, message, text, limit }
    }

    /// A query of our own, for a record of a name.
    #[must_use]
    pub fn for_record(name: &Name, kind: RecordType) -> Option<Self> {
        let mut message = Message::query();
        message.metadata.recursion_desired = true;
        message.add_query(Question::query(name.clone(), kind));
        Some(Self::new(message.to_vec().ok()?, message, Transport::Udp))
    }

    /// The name as it was written.
    #[must_use]
    pub fn name(&self) -> &Name {
        let question = self.message.queries.first();
        &question.expect("a query has one question").name
    }

    /// What is asked for.
    #[must_use]
    pub fn kind(&self) -> RecordType {
        self.message.queries.first().map_or(RecordType::ZERO, |question| question.query_type)
    }

    /// The name as names of the mesh are written; `None` when it can be none of them.
    #[must_use]
    pub fn mesh_name(&self) -> Option<&str> {
        let question = self.message.queries.first()?;
        self.text.as_deref().filter(|_| question.query_class == DNSClass::IN)
    }

    /// Whether the same question would be answered the same, whoever asks.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        let Message { answers, authorities, additionals, signature, edns, .. } = &self.message;
        let has_options = edns.as_ref().is_some_and(|edns| !edns.options().as_ref().is_empty());
        let records = [answers, authorities, additionals];
        !has_options && signature.is_none() && records.iter().all(|section| section.is_empty())
    }

    /// What besides the question makes a difference to the answer: the flags, and whether there is EDNS and DO.
    #[must_use]
    pub fn manner(&self) -> (bool, bool, bool, Option<bool>) {
        let asked = &self.message.metadata;
        let edns = self.message.edns.as_ref().map(|edns| edns.flags().dnssec_ok);
        (asked.recursion_desired, asked.authentic_data, asked.checking_disabled, edns)
    }

    /// Begins an answer of our own.
    #[must_use]
    pub fn answer(&self, code: ResponseCode) -> Message {
        let mut answer = Message::response(self.message.metadata.id, OpCode::Query);
        answer.metadata = Metadata::response_from_request(&self.message.metadata);
        answer.metadata.recursion_available = true;
        answer.metadata.response_code = code;
        answer.queries.clone_from(&self.message.queries);
        answer.edns = self.message.edns.as_ref().map(|asked| {
            let mut edns = Edns::new();
            edns.set_max_payload(asked.max_payload().min(LONGEST_DATAGRAM))
                .set_dnssec_ok(asked.flags().dnssec_ok);
            edns
        });
        answer
    }

    /// Writes an answer of our own.
    #[must_use]
    pub fn write(&self, answer: Message) -> Option<Vec<u8>> {
        fit(answer, self.limit)
    }

    /// Makes an answer somebody else gave to this question, in other letters perhaps, one to this query.
    fn adopt(&self, mut answer: Message) -> Option<Vec<u8>> {
        answer.metadata.id = self.message.metadata.id;
        answer.queries.clone_from(&self.message.queries);
        fit(answer, self.limit)
    }

    /// Passes on what was answered to a copy of this query, as it is unless it is too long.
    #[must_use]
    pub fn pass_on(&self, mut answer: Vec<u8>) -> Option<Vec<u8>> {
        if answer.len() > self.limit {
            let read = if answer.len() <= LONGEST_CUT { read(&answer) } else { None };
            return match read {
                Some(answer) => self.adopt(answer),
                None => {
                    let mut cut = self.answer(ResponseCode::NoError);
                    cut.metadata.truncation = true;
                    fit(cut, self.limit)
                }
            };
        }
        wire::set_id(&mut answer, self.message.metadata.id);
        Some(answer)
    }
}

/// An answer to a message of which no more than the header is understood.
fn bare(asked: &Metadata, code: ResponseCode) -> Option<Vec<u8>> {
    let mut answer = Message::response(asked.id, asked.op_code);
    answer.metadata = Metadata::response_from_request(asked);
    answer.metadata.recursion_available = true;
    answer.metadata.response_code = code;
    answer.to_vec().ok()
}

/// Writes an answer within `limit`. What is merely helpful goes first; when that is not enough the answer says that it is cut
/// (RFC 2181 §9) and has as many records as there is room for. `None`: it cannot be written at all.
fn fit(mut answer: Message, limit: usize) -> Option<Vec<u8>> {
    let fits = |answer: &Message| answer.to_vec().ok().filter(|bytes| bytes.len() <= limit);
    if let Some(bytes) = fits(&answer) {
        return Some(bytes);
    }
    answer.additionals.clear();
    if let Some(bytes) = fits(&answer) {
        return Some(bytes);
    }
    answer.metadata.truncation = true;
    answer.authorities.clear();
    let all = std::mem::take(&mut answer.answers);
    let mut written = fits(&answer)?;
    // Between a number of records that fits and one that does not.
    let (mut least, mut most) = (0, all.len() + 1);
    while most - least > 1 {
        let middle = least.midpoint(most);
        answer.answers = all[..middle].to_vec();
        match fits(&answer) {
            Some(bytes) => (written, least) = (bytes, middle),
            None => most = middle,
        }
    }
    Some(written)
}

/// Writes a name as names of the mesh are written, unless it has letters those cannot have.
fn text(name: &Name) -> Option<String> {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'*');
    let mut text = String::with_capacity(name.len());
    for label in name {
        if !label.iter().all(is_plain) {
            return None;
        }
        if !text.is_empty() {
            text.push('.');
        }
        text.extend(label.iter().map(|byte| char::from(byte.to_ascii_lowercase())));
    }
    Some(text).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests;
