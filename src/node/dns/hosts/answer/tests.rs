use hickory_proto::op::OpCode;
use hickory_proto::rr::rdata::{CNAME, SOA};

use super::*;

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn at(owner: &str, ttl: u32, address: &str) -> Record {
    let data = match address.parse().unwrap() {
        IpAddr::V4(ip) => RData::A(ip.into()),
        IpAddr::V6(ip) => RData::AAAA(ip.into()),
    };
    Record::from_rdata(name(owner), ttl, data)
}

fn alias(owner: &str, ttl: u32, target: &str) -> Record {
    Record::from_rdata(name(owner), ttl, RData::CNAME(CNAME(name(target))))
}

fn authority(ttl: u32, minimum: u32) -> Record {
    let soa = SOA::new(name("ns."), name("mail."), 1, 1, 1, 1, minimum);
    Record::from_rdata(name("."), ttl, RData::SOA(soa))
}

const FOUND: ResponseCode = ResponseCode::NoError;
const DENIED: ResponseCode = ResponseCode::NXDomain;

/// Asserts what is read of an answer about `web.`: addresses, whether it exists, and how long that holds.
#[track_caller]
fn check(
    code: ResponseCode,
    answers: &[Record],
    authorities: &[Record],
    expected: (&[&str], bool, Option<u32>),
) {
    let mut answer = Message::response(0, OpCode::Query);
    answer.metadata.response_code = code;
    answer.answers = answers.to_vec();
    answer.authorities = authorities.to_vec();
    let told = read(&answer, &name("web.")).unwrap();
    let addresses: Vec<_> = told.addresses.iter().map(ToString::to_string).collect();
    let owned: Vec<_> = expected.0.iter().map(|it| (*it).to_owned()).collect();
    assert_eq!((addresses, told.exists, told.life), (owned, expected.1, expected.2));
}

#[test]
fn addresses_are_those_of_the_name_and_of_its_aliases() {
    let two = [at("web.", 60, "192.0.2.1"), at("WEB.", 30, "192.0.2.2")];
    check(FOUND, &two, &[], (&["192.0.2.1", "192.0.2.2"], true, Some(30)));
    let aliases = [
        at("c.", 60, "2001:db8::1"),
        alias("b.", 20, "c."),
        alias("web.", 90, "B."),
        at("d.", 1, "192.0.2.4"),
    ];
    check(FOUND, &aliases, &[], (&["2001:db8::1"], true, Some(20)));
    check(FOUND, &[at("other.", 60, "192.0.2.1")], &[], (&[], true, None));
}

#[test]
fn what_is_not_there_holds_as_long_as_is_said() {
    check(FOUND, &[], &[authority(600, 30)], (&[], true, Some(30)));
    check(DENIED, &[], &[authority(10, 30)], (&[], false, Some(10)));
    check(DENIED, &[alias("web.", 5, "b.")], &[authority(10, 30)], (&[], false, Some(5)));
    check(DENIED, &[], &[], (&[], false, None));
    check(FOUND, &[at("web.", 1 << 31, "192.0.2.1")], &[], (&["192.0.2.1"], true, Some(0)));
}

#[test]
fn aliases_in_a_circle_and_long_answers_come_to_an_end() {
    check(FOUND, &[alias("web.", 9, "b."), alias("b.", 9, "web.")], &[], (&[], true, Some(9)));
    let many: Vec<_> = (0..200).map(|last| at("web.", 9, &format!("192.0.2.{last}"))).collect();
    let mut answer = Message::response(0, OpCode::Query);
    answer.answers = many;
    assert_eq!(read(&answer, &name("web.")).unwrap().addresses.len(), MOST_ADDRESSES);
}

#[test]
fn a_server_that_cannot_help_says_nothing_of_the_host() {
    for code in [ResponseCode::ServFail, ResponseCode::Refused, ResponseCode::FormErr] {
        let mut answer = Message::response(0, OpCode::Query);
        answer.metadata.response_code = code;
        answer.answers.push(at("web.", 60, "192.0.2.1"));
        assert_eq!(read(&answer, &name("web.")), Err(code));
    }
}

fn usable_of(addresses: &[&str]) -> Found {
    usable(&"web".into(), addresses.iter().map(|it| it.parse().unwrap()).collect())
}

#[test]
fn addresses_no_other_host_can_have_are_left_out() {
    for refused in [
        "0.0.0.0",
        "0.0.0.1",
        "127.0.0.1",
        "127.255.0.1",
        "224.0.0.1",
        "239.1.2.3",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:0.0.0.0",
        "ff02::1",
        "fe80::1",
    ] {
        let error = usable_of(&[refused]).unwrap_err();
        assert!(matches!(error, Error::Unusable { .. }), "{refused}: {error}");
        assert_eq!(usable_of(&[refused, "192.0.2.1"]).unwrap().len(), 1, "{refused}");
    }
    for taken in
        ["10.0.0.1", "169.254.169.254", "240.240.0.1", "1.0.0.1", "fd00::1", "2001:db8::1", "64:ff9b::1"]
    {
        assert_eq!(usable_of(&[taken]).unwrap()[0].to_string(), taken);
    }
}

#[test]
fn each_address_is_given_once_and_in_its_order() {
    let found = usable_of(&["192.0.2.2", "192.0.2.1", "::ffff:192.0.2.2", "192.0.2.1"]).unwrap();
    assert_eq!(found.iter().map(ToString::to_string).collect::<Vec<_>>(), ["192.0.2.2", "192.0.2.1"]);
    assert!(matches!(usable_of(&[]), Err(Error::NoAddresses { .. })));
}
