//! DNS: what a pod asks, what the mesh says to it, and what others answer.
//!
//! Whatever is asked: memory stays bounded; what is answered belongs to the question, has the length the client takes, and can be read
//! to its end. Whatever others say: it is passed on as it is, or cut and marked as cut; and the few places that are changed in it
//! are those a whole reader finds.

use std::sync::{Arc, LazyLock};

use culvert_core::dns::Settings;
use culvert_core::mesh_file;
use culvert_core::snapshot::Snapshot;
use culvert_core::workload::Workload;
use culvert_dns::message::{Query, Received, Transport, receive};
use culvert_dns::{own, wire};
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::RecordType;

use crate::input::Input;
use crate::memory::Bound;

/// What clients take that do not say (RFC 1035 §4.2.1).
const PLAIN: usize = 512;
/// The longest that is sent in a datagram.
const LONGEST_DATAGRAM: usize = 4096;
const HEADER: usize = 12;

static MESH: LazyLock<(Snapshot, Arc<Workload>)> = LazyLock::new(|| {
    let mesh = mesh_file::parse(include_str!("../src/core/testdata/mesh.yaml")).expect("it is in order");
    let snapshot = Snapshot::new(mesh, "");
    let client = snapshot.workloads().min_by_key(|it| it.uid.clone()).expect("there are workloads").clone();
    (snapshot, client)
});

/// How it came, the length of what is asked, that, and what others answer.
pub fn run(data: &[u8]) {
    let mesh = &*MESH;
    let bound = Bound::new((512 << 10) + 512 * data.len());
    let mut input = Input::new(data);
    let transport = input.one(&[Transport::Udp, Transport::Tcp]);
    let entropy = input.byte().into();
    let length = input.byte();
    let asked = input.take(length.into());
    let answer = input.take(data.len());
    match receive(asked.to_vec(), transport) {
        Received::Nothing => assert!(asked.len() < HEADER || asked[2] & 0x80 != 0),
        Received::Wrong(said) => {
            let said = said.expect("a header can be written");
            assert_eq!((&said[..2], said[2] & 0x80), (&asked[..2], 0x80));
            assert!(said.len() <= PLAIN && said[3] & 0x0f != 0 || is_extended_error(&said), "{said:02x?}");
        }
        Received::Operation(operation) => {
            for said in [operation.not_implemented(), operation.failed()] {
                assert_eq!(said.map(|said| said[..2].to_vec()).as_deref(), Some(&asked[..2]));
            }
            if answer.len() >= 2 {
                assert_eq!(operation.pass_on(answer.to_vec())[..2], asked[..2]);
            }
        }
        Received::Query(query) => {
            let client = Client { asked, query, transport };
            client.of_mesh(mesh, entropy);
            client.of_others(answer);
        }
    }
    bound.check();
    check_places(answer);
    let _ = wire::answers(answer, asked);
}

/// A code beyond four bits, which is partly in EDNS (BADVERS).
fn is_extended_error(said: &[u8]) -> bool {
    Message::from_vec(said).is_ok_and(|said| said.metadata.response_code != ResponseCode::NoError)
}

/// Who asks something that is understood.
struct Client<'d> {
    asked: &'d [u8],
    query: Query,
    transport: Transport,
}

impl Client<'_> {
    /// The longest answer that is taken.
    fn limit(&self) -> usize {
        let says_nothing = self.asked[10..HEADER] == [0, 0];
        match self.transport {
            Transport::Tcp => usize::from(u16::MAX),
            Transport::Udp if says_nothing => PLAIN,
            Transport::Udp => LONGEST_DATAGRAM,
        }
    }

    /// What the mesh says.
    fn of_mesh(&self, (snapshot, client): &(Snapshot, Arc<Workload>), entropy: u64) {
        let settings =
            Settings { cluster_domain: "cluster.local".into(), ipv6: true, preferred_namespace: None };
        let query = &self.query;
        let said = own::answer(snapshot, client, &settings, query, entropy);
        let existence = own::existence(snapshot, client, &settings, query);
        if said.is_some() && [RecordType::A, RecordType::AAAA].contains(&query.kind()) {
            assert!(existence.is_some(), "what has addresses exists");
        }
        assert!(own::lacking(snapshot, client, &settings, query).len() <= culvert_core::dns::MOST_LACKING);
        let failure = Some(query.answer(ResponseCode::ServFail));
        for message in [said, existence, failure].into_iter().flatten() {
            let records = message.answers.len();
            let written = query.write(message).expect("answers of our own can be written");
            self.check_answer(&written);
            let read = Message::from_vec(&written).expect("they can be read");
            assert!(read.answers.len() == records || wire::is_truncated(&written), "some are missing");
        }
    }

    /// What others say.
    fn of_others(&self, answer: &[u8]) {
        let mut answer = answer.to_vec();
        wire::set_id(&mut answer, u16::from_be_bytes([self.asked[0], self.asked[1]]));
        if !wire::answers(&answer, self.asked) {
            // Nobody waits for it.
            return;
        }
        let Some(said) = self.query.pass_on(answer.clone()) else { return };
        if said.len() < answer.len() {
            self.check_answer(&said);
        } else {
            assert_eq!(said, answer, "it is another answer");
        }
    }

    /// An answer that was written here.
    fn check_answer(&self, said: &[u8]) {
        assert!(said.len() <= self.limit(), "{} bytes, where {} are taken", said.len(), self.limit());
        assert!(wire::answers(said, self.asked), "{said:02x?} is no answer to {:02x?}", self.asked);
        assert!(wire::times(said).is_some(), "{said:02x?} ends too soon");
    }
}

/// Times are changed where they are, and nothing else is.
fn check_places(answer: &[u8]) {
    let Some(places) = wire::times(answer) else { return };
    let mut changed = answer.to_vec();
    wire::change_times(&mut changed, &places, |_| 7);
    let others = |bytes: &[u8]| -> Vec<u8> {
        let is_time = |at: usize| {
            places.iter().any(|place| (usize::from(*place)..usize::from(*place) + 4).contains(&at))
        };
        bytes.iter().enumerate().filter(|(at, _)| !is_time(*at)).map(|(_, byte)| *byte).collect()
    };
    assert_eq!(others(&changed), others(answer));
    let (Ok(before), Ok(after)) = (Message::from_vec(answer), Message::from_vec(&changed)) else { return };
    let ttls = |message: &Message| -> Vec<u32> {
        message.answers.iter().chain(&message.authorities).map(|record| record.ttl).collect()
    };
    assert_eq!(ttls(&before).len(), ttls(&after).len());
    assert!(ttls(&after).iter().all(|ttl| *ttl == 7), "a whole reader finds other times");
}
