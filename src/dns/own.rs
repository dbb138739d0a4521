//! What the mesh says, as messages.
//!
//! In go a question and what [`culvert_core::dns`] says to it; out comes an answer with authority.

use std::net::IpAddr;
use std::sync::Arc;

use culvert_core::dns::{Answer, Data, Kind, Question, Record as Said, Settings, TTL};
use culvert_core::snapshot::Snapshot;
use culvert_core::workload::Workload;
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::{CNAME, SOA, SRV};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use crate::message::Query;

/// Times of the SOA record that only servers of the same zone would use, in seconds.
const REFRESH: i32 = 7200;
const RETRY: i32 = 1800;
const EXPIRE: i32 = 86_400;

/// Asks the mesh; `None` when others are to be asked. `entropy` decides the order of the records.
#[must_use]
pub fn answer(
    snapshot: &Snapshot,
    client: &Workload,
    settings: &Settings,
    query: &Query,
    entropy: u64,
) -> Option<Message> {
    let question = Question { name: query.mesh_name()?, kind: kind(query.kind()) };
    match culvert_core::dns::answer(snapshot, client, settings, question, entropy) {
        Answer::Records(said) => Some(records(query, &said)),
        Answer::Nothing => Some(nothing(query, settings)),
        Answer::NotOurs => None,
    }
}

/// Says that there is such a name, if the mesh has it: to be asked when others say that there is none. They would be believed
/// for all kinds of records.
#[must_use]
pub fn existence(
    snapshot: &Snapshot,
    client: &Workload,
    settings: &Settings,
    query: &Query,
) -> Option<Message> {
    let question = Question { name: query.mesh_name()?, kind: Kind::A };
    match culvert_core::dns::answer(snapshot, client, settings, question, 0) {
        Answer::Records(_) | Answer::Nothing => Some(nothing(query, settings)),
        Answer::NotOurs => None,
    }
}

/// The resources that could change the answer and that the snapshot lacks.
#[must_use]
pub fn lacking(snapshot: &Snapshot, client: &Workload, settings: &Settings, query: &Query) -> Vec<Arc<str>> {
    let question = query.mesh_name().map(|name| Question { name, kind: kind(query.kind()) });
    question.map_or(Vec::new(), |question| culvert_core::dns::lacking(snapshot, client, settings, question))
}

fn kind(kind: RecordType) -> Kind {
    if kind == RecordType::A {
        Kind::A
    } else if kind == RecordType::AAAA {
        Kind::Aaaa
    } else if kind == RecordType::SRV {
        Kind::Srv
    } else if [RecordType::HTTPS, RecordType::SVCB].contains(&kind) {
        Kind::Binding
    } else {
        Kind::Other
    }
}

fn records(query: &Query, said: &[Said]) -> Message {
    let mut answer = query.answer(ResponseCode::NoError);
    answer.metadata.authoritative = true;
    answer.answers = said.iter().filter_map(|said| record(query, said)).collect();
    answer
}

/// An empty answer, with the record that says how long that holds (RFC 2308 §3).
fn nothing(query: &Query, settings: &Settings) -> Message {
    let mut answer = query.answer(ResponseCode::NoError);
    answer.metadata.authoritative = true;
    answer.authorities.extend(start_of_authority(query, &settings.cluster_domain));
    answer
}

/// The zone is the cluster's domain, as the cluster's DNS has it, or else the name alone: nothing is said about others.
fn start_of_authority(query: &Query, domain: &str) -> Option<Record> {
    let cluster = name(domain)?;
    let zone = if cluster.zone_of(query.name()) { cluster } else { query.name().clone() };
    // A long name has no room for labels in front of it.
    let within = |label: &str| zone.prepend_label(label).unwrap_or_else(|_| zone.clone());
    let (server, mail) = (within("ns"), within("hostmaster"));
    let authority = SOA::new(server, mail, 1, REFRESH, RETRY, EXPIRE, TTL);
    Some(Record::from_rdata(zone, TTL, RData::SOA(authority)))
}

/// A name the mesh made is always one that can be written; if it were none, its record would be left out.
fn record(query: &Query, said: &Said) -> Option<Record> {
    let owner = name_as_asked(query, &said.owner)?;
    let data = match &said.data {
        Data::Cname(target) => RData::CNAME(CNAME(name(target)?)),
        Data::Address(IpAddr::V4(ip)) => RData::A((*ip).into()),
        Data::Address(IpAddr::V6(ip)) => RData::AAAA((*ip).into()),
        Data::Service { priority, weight, port, target } => {
            RData::SRV(SRV::new(*priority, *weight, *port, name(target)?))
        }
    };
    Some(Record::from_rdata(owner, TTL, data))
}

/// The name that was asked for keeps its letters: some clients draw them, and look for them in the answer.
fn name_as_asked(query: &Query, text: &str) -> Option<Name> {
    if query.mesh_name() == Some(text) { Some(query.name().clone()) } else { name(text) }
}

/// Reads a name: labels joined by dots. `None` when it cannot be one.
#[must_use]
pub fn name(text: &str) -> Option<Name> {
    Name::from_labels(text.split('.').map(str::as_bytes)).ok()
}
