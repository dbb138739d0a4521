use hickory_proto::rr::{RData, Record};

use super::*;

fn a(octets: [u8; 4]) -> RData {
    RData::A(std::net::Ipv4Addr::from(octets).into())
}

fn ask(name: &str, kind: RecordType) -> Message {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Question::query(Name::from_ascii(name).unwrap(), kind));
    message
}

fn with_edns(mut message: Message, payload: u16, version: u8) -> Message {
    let mut edns = Edns::new();
    edns.set_max_payload(payload).set_version(version).set_dnssec_ok(true);
    message.set_edns(edns);
    message
}

#[track_caller]
fn query(message: &Message, transport: Transport) -> Query {
    let Received::Query(query) = receive(message.to_vec().unwrap(), transport) else { panic!("{message}") };
    query
}

#[track_caller]
fn refused(bytes: Vec<u8>) -> Message {
    let Received::Wrong(answer) = receive(bytes, Transport::Udp) else { panic!("it was taken") };
    written(answer)
}

/// An answer with as many addresses as asked for.
fn addresses(query: &Query, count: u8) -> Message {
    let mut answer = query.answer(ResponseCode::NoError);
    let record = |last| Record::from_rdata(query.name().clone(), 30, a([192, 0, 2, last]));
    answer.answers = (0..count).map(record).collect();
    answer
}

fn written(bytes: Option<Vec<u8>>) -> Message {
    Message::from_vec(&bytes.unwrap()).unwrap()
}

#[test]
fn what_is_no_query_gets_no_answer() {
    let mut answer = ask("a.", RecordType::A);
    answer.metadata.message_type = MessageType::Response;
    for bytes in [Vec::new(), vec![0; 11], answer.to_vec().unwrap()] {
        assert!(matches!(receive(bytes, Transport::Udp), Received::Nothing));
    }
}

#[test]
fn what_is_not_understood_is_a_format_error() {
    let whole = ask("web.example.", RecordType::A).to_vec().unwrap();
    let mut two = ask("a.", RecordType::A);
    two.add_query(two.queries[0].clone());
    // The number of questions alone must not make anybody reserve room for them.
    let mut many = whole.clone();
    many[4..6].fill(0xff);
    let mut none = whole.clone();
    none[4..6].fill(0);
    for bytes in [two.to_vec().unwrap(), many, none, whole[..whole.len() - 1].to_vec()] {
        let answer = refused(bytes.clone());
        assert_eq!(answer.metadata.response_code, ResponseCode::FormErr);
        assert_eq!(answer.metadata.id.to_be_bytes(), bytes[..2]);
        assert!(answer.metadata.recursion_desired && answer.metadata.recursion_available);
    }
}

#[test]
fn a_later_version_of_edns_is_refused_by_name() {
    let asked = with_edns(ask("web.", RecordType::A), 1232, 1);
    let answer = refused(asked.to_vec().unwrap());
    // The number is that of BADSIG too.
    assert_eq!(u16::from(answer.metadata.response_code), u16::from(ResponseCode::BADVERS));
    assert_eq!((answer.version(), answer.queries), (0, asked.queries));
}

#[test]
fn another_operation_is_passed_on_unread() {
    let mut bytes = ask("web.", RecordType::SOA).to_vec().unwrap();
    bytes[2] = 5 << 3;
    let Received::Operation(operation) = receive(bytes.clone(), Transport::Udp) else { panic!() };
    assert_eq!(operation.wire, bytes);
    let answer = written(operation.not_implemented());
    assert_eq!(
        (answer.metadata.response_code, answer.metadata.op_code),
        (ResponseCode::NotImp, OpCode::Update)
    );
    assert_eq!(operation.pass_on(vec![0xff; 12])[..2], bytes[..2]);
}

#[test]
fn flags_and_edns_come_back_as_they_should() {
    let mut asked = with_edns(ask("WeB.Example.", RecordType::AAAA), 100, 0);
    asked.metadata.checking_disabled = true;
    asked.metadata.authentic_data = true;
    let query = query(&asked, Transport::Udp);
    assert_eq!((query.mesh_name(), query.kind()), (Some("web.example"), RecordType::AAAA));
    let answer = written(query.write(query.answer(ResponseCode::NoError)));
    let flags = answer.metadata;
    assert!(flags.recursion_desired && flags.recursion_available && flags.checking_disabled);
    assert!(!flags.authentic_data && !flags.truncation);
    assert_eq!(answer.queries[0].name.to_ascii(), "WeB.Example.", "letters stay as they are");
    let edns = answer.edns.unwrap();
    assert_eq!((edns.max_payload(), edns.version(), edns.flags().dnssec_ok), (512, 0, true));
}

#[test]
fn names_no_service_can_have_are_others() {
    let mesh_name = |name: &str, class| {
        let mut asked = ask(name, RecordType::A);
        asked.queries[0].query_class = class;
        query(&asked, Transport::Udp).mesh_name().map(str::to_owned)
    };
    assert_eq!(mesh_name("_http._TCP.web-1.", DNSClass::IN).as_deref(), Some("_http._tcp.web-1"));
    assert_eq!(mesh_name("*.example.", DNSClass::IN).as_deref(), Some("*.example"));
    assert_eq!(mesh_name("web.example.", DNSClass::CH), None);
    assert_eq!(mesh_name(".", DNSClass::IN), None);
    assert_eq!(mesh_name("web\\.example.", DNSClass::IN), None);
    let odd = Name::from_labels([&b"w\0b"[..], b"example"]).unwrap();
    let mut asked = ask(".", RecordType::A);
    asked.queries[0].name = odd;
    assert_eq!(query(&asked, Transport::Udp).mesh_name(), None);
}

#[test]
fn an_answer_is_as_long_as_the_client_takes() {
    let plain = ask("web.ns1.svc.cluster.local.", RecordType::A);
    let large = with_edns(plain.clone(), 1232, 0);
    for (asked, transport, limit, least, whole) in [
        (&plain, Transport::Udp, 512, 29, false),
        (&large, Transport::Udp, 1232, 73, false),
        (&plain, Transport::Tcp, 65_535, 200, true),
        (&large, Transport::Tcp, 65_535, 200, true),
    ] {
        let query = query(asked, transport);
        let written = query.write(addresses(&query, 200)).unwrap();
        assert!(written.len() <= limit, "{transport:?} {}", written.len());
        let answer = Message::from_vec(&written).unwrap();
        assert_eq!(answer.metadata.truncation, !whole);
        assert!(answer.answers.len() >= least, "{} of {least}", answer.answers.len());
        assert_eq!(answer.edns.is_some(), asked.edns.is_some());
        // One more would not have fitted.
        let record = 16;
        assert!(whole || written.len() + record > limit, "{}", written.len());
    }
}

#[test]
fn what_is_merely_helpful_goes_before_anything_is_called_cut() {
    let query = query(&ask("web.", RecordType::A), Transport::Udp);
    let mut answer = addresses(&query, 20);
    answer.additionals = addresses(&query, 20).answers;
    let answer = written(query.write(answer));
    assert_eq!((answer.answers.len(), answer.additionals.len()), (20, 0));
    assert!(!answer.metadata.truncation);
}

#[test]
fn answers_of_others_are_not_changed_unless_they_are_too_long() {
    let query = query(&ask("web.", RecordType::TXT), Transport::Udp);
    // Not even read: it is what it is.
    let odd = vec![0xee; 100];
    let passed = query.pass_on(odd.clone()).unwrap();
    assert_eq!((&passed[..2], &passed[2..]), (&query.wire[..2], &odd[2..]));
    let long = addresses(&query, 100).to_vec().unwrap();
    let passed = written(query.pass_on(long));
    assert!(passed.metadata.truncation && !passed.answers.is_empty());
    let unreadable = written(query.pass_on(vec![0xee; 1000]));
    assert!(unreadable.metadata.truncation && unreadable.answers.is_empty());
    assert_eq!(unreadable.queries, query.message.queries);
}

#[test]
fn only_plain_questions_have_the_same_answer_for_all() {
    let is_plain = |message: &Message| query(message, Transport::Udp).is_plain();
    let plain = ask("web.", RecordType::A);
    assert!(is_plain(&plain) && is_plain(&with_edns(plain.clone(), 1232, 0)));
    let mut with_option = with_edns(plain.clone(), 1232, 0);
    let cookie = hickory_proto::rr::rdata::opt::EdnsOption::Unknown(10, vec![1; 8]);
    with_option.edns.as_mut().unwrap().options_mut().insert(cookie);
    let mut signed = plain.clone();
    signed.add_additional(addresses(&query(&plain, Transport::Udp), 1).answers[0].clone());
    assert!(!is_plain(&with_option) && !is_plain(&signed));
}

#[test]
fn no_bytes_do_harm() {
    let query = query(&with_edns(ask("web.ns1.example.", RecordType::A), 1232, 0), Transport::Udp);
    let answer = addresses(&query, 5).to_vec().unwrap();
    for original in [&query.wire, &answer] {
        for _ in 0..20_000 {
            let mut bytes = original.clone();
            for _ in 0..rand::random_range(1..4) {
                let place = rand::random_range(0..bytes.len());
                bytes[place] = rand::random();
            }
            bytes.truncate(rand::random_range(0..=bytes.len()));
            let _ = wire::answers(&bytes, &query.wire);
            let _ = query.pass_on(bytes.clone());
            if let Received::Query(odd) = receive(bytes, Transport::Udp) {
                odd.write(odd.answer(ResponseCode::NoError)).unwrap();
            }
        }
    }
}

#[test]
fn what_is_long_or_says_more_than_a_query_is_refused_unread() {
    let refused = |bytes: Vec<u8>| matches!(receive(bytes, Transport::Tcp), Received::Wrong(Some(_)));
    let query = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x03web\0\0\x01\0\x01".to_vec();
    assert!(matches!(receive(query.clone(), Transport::Tcp), Received::Query(_)));
    for count in [7, 9, 11] {
        let mut many = query.clone();
        many[count] = 3;
        assert!(refused(many), "the count at {count}");
    }
    let mut long = query;
    long.resize(LONGEST_READ + 1, 0);
    assert!(refused(long));
}

#[test]
fn an_answer_that_is_far_too_long_is_cut_unread() {
    let query = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x03web\0\0\x01\0\x01".to_vec();
    let Received::Query(asked) = receive(query.clone(), Transport::Udp) else { panic!("it is a query") };
    let mut answer = query;
    answer[2] |= 0x80;
    answer.resize(60_000, 0);
    let cut = asked.pass_on(answer).unwrap();
    assert!(wire::is_truncated(&cut) && cut.len() <= 512);
}

#[test]
fn an_answer_is_read_when_it_has_the_questions_it_counts() {
    let asked = query(&ask("web.example.", RecordType::A), Transport::Tcp);
    let mut answer = addresses(&asked, 3).to_vec().unwrap();
    assert_eq!(read(&answer).unwrap().answers.len(), 3);
    answer[4..6].fill(0xff);
    assert!(read(&answer).is_none());
}
