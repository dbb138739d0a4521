use hickory_proto::op::Query as Question;
use hickory_proto::rr::Name;
use hickory_proto::rr::rdata::{CNAME, SOA};

use super::super::message::{Received, Transport, receive};
use super::super::tests::upstream::a;
use super::*;

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn question(text: &str) -> Message {
    let mut message = Message::query();
    message.add_query(Question::query(name(text), RecordType::A));
    message
}

fn query(message: &Message) -> Query {
    let Received::Query(query) = receive(message.to_vec().unwrap(), Transport::Udp) else {
        panic!("{message}")
    };
    query
}

fn key(text: &str, server: &str) -> Key {
    key_of(&question(text), server)
}

fn key_of(question: &Message, server: &str) -> Key {
    let servers: Arc<[SocketAddr]> = Arc::new([server.parse().unwrap()]);
    Key::new(&query(question), &servers).unwrap()
}

fn find(cache: &Cache, key: &Key) -> Option<Message> {
    cache.find(key, &question("web.").to_vec().unwrap()).map(|answer| Message::from_vec(&answer).unwrap())
}

const SERVER: &str = "192.0.2.53:53";

fn address(ttl: u32) -> Record {
    Record::from_rdata(name("web."), ttl, a([192, 0, 2, 1]))
}

fn alias(ttl: u32) -> Record {
    Record::from_rdata(name("web."), ttl, RData::CNAME(CNAME(name("elsewhere."))))
}

fn authority(ttl: u32, minimum: u32) -> Record {
    let soa = SOA::new(name("ns."), name("mail."), 1, 1, 1, 1, minimum);
    Record::from_rdata(name("."), ttl, RData::SOA(soa))
}

fn answer(code: ResponseCode, answers: &[Record], authorities: &[Record]) -> Message {
    let mut message = Message::response(0, hickory_proto::op::OpCode::Query);
    message.metadata.response_code = code;
    message.metadata.authoritative = true;
    message.queries = question("web.").queries;
    message.answers = answers.to_vec();
    message.authorities = authorities.to_vec();
    message
}

const NO_ERROR: ResponseCode = ResponseCode::NoError;
const NO_NAME: ResponseCode = ResponseCode::NXDomain;

#[test]
fn an_answer_says_how_long_it_holds_or_is_not_kept() {
    for (code, answers, authorities, expected) in [
        (NO_ERROR, &[address(60), alias(20)][..], &[][..], Some(20)),
        (NO_ERROR, &[address(60)], &[authority(10, 1)], Some(10)),
        (NO_ERROR, &[address(100_000)], &[], Some(3600)),
        (NO_ERROR, &[address(0)], &[], None),
        // RFC 2181: what would be negative is zero.
        (NO_ERROR, &[address(1 << 31)], &[], None),
        (NO_NAME, &[], &[authority(600, u32::MAX)], None),
        // RFC 2308: the lesser of the record's time and what is in it.
        (NO_NAME, &[], &[authority(600, 30)], Some(30)),
        (NO_NAME, &[], &[authority(10, 30)], Some(10)),
        (NO_NAME, &[], &[], None),
        (NO_ERROR, &[], &[authority(600, 30)], Some(30)),
        (NO_ERROR, &[], &[], None),
        (NO_ERROR, &[alias(5)], &[authority(600, 30)], Some(5)),
        (NO_ERROR, &[alias(5)], &[], None),
        (ResponseCode::ServFail, &[], &[authority(600, 30)], None),
        (ResponseCode::Refused, &[address(60)], &[], None),
    ] {
        let message = answer(code, answers, authorities);
        assert_eq!(life(&message), expected, "{message}");
    }
}

#[tokio::test(start_paused = true)]
async fn time_runs_while_an_answer_is_kept() {
    let (cache, key) = (Cache::default(), key("web.", SERVER));
    cache.keep(key.clone(), &answer(NO_ERROR, &[address(60), alias(20)], &[]).to_vec().unwrap());
    tokio::time::advance(Duration::from_secs(19)).await;
    let found = find(&cache, &key).unwrap();
    assert_eq!(found.answers.iter().map(|record| record.ttl).collect::<Vec<_>>(), [41, 1]);
    assert!(!found.metadata.authoritative);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(find(&cache, &key).is_none());
    assert_eq!(cache.lock().bytes, 0, "what is over is gone");
}

#[tokio::test(start_paused = true)]
async fn answers_are_found_by_the_same_question_to_the_same_servers_alone() {
    let cache = Cache::default();
    cache.keep(key("web.", SERVER), &answer(NO_ERROR, &[address(60)], &[]).to_vec().unwrap());
    assert!(find(&cache, &key("WEB.", SERVER)).is_some());
    assert!(find(&cache, &key("bew.", SERVER)).is_none());
    assert!(find(&cache, &key("web.", "192.0.2.54:53")).is_none());
    let mut other = question("web.");
    other.metadata.checking_disabled = true;
    assert!(find(&cache, &key_of(&other, SERVER)).is_none());
}

#[tokio::test(start_paused = true)]
async fn what_is_cut_or_long_or_odd_is_not_kept() {
    let (cache, key) = (Cache::default(), key("web.", SERVER));
    let mut cut = answer(NO_ERROR, &[address(60)], &[]);
    cut.metadata.truncation = true;
    let long = answer(NO_ERROR, &vec![address(60); 1000], &[]);
    for bytes in [cut.to_vec().unwrap(), long.to_vec().unwrap(), vec![0; 20]] {
        cache.keep(key.clone(), &bytes);
        assert!(find(&cache, &key).is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn memory_is_bounded_and_the_oldest_answer_goes_first() {
    let cache = Cache::default();
    let bytes = answer(NO_ERROR, &[address(60)], &[]).to_vec().unwrap();
    let nth = |n: usize| key(&format!("n{n}."), SERVER);
    let mut kept = 0;
    while find(&cache, &nth(0)).is_some() || kept == 0 {
        cache.keep(nth(kept), &bytes);
        kept += 1;
        // The same again takes no more room.
        cache.keep(nth(kept - 1), &bytes);
        assert!(cache.lock().bytes <= MOST_BYTES);
        assert!(kept < 100_000);
    }
    assert!(find(&cache, &nth(1)).is_some() && find(&cache, &nth(kept - 1)).is_some());
    let store = cache.lock();
    assert_eq!((store.entries.len(), store.ages.len()), (kept - 1, kept - 1));
}
