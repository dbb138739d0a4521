use super::*;

mod model;

/// Says everything at once; gives what came of it, in order, and how many bytes were not taken.
fn negotiate(said: &[u8]) -> (Vec<Step>, Result<usize, Fault>) {
    let (mut negotiation, mut rest, mut steps) = (Negotiation::default(), said, Vec::new());
    loop {
        match negotiation.receive(&mut rest) {
            Ok(Some(step)) => steps.push(step),
            Ok(None) => return (steps, Ok(rest.len())),
            Err(fault) => return (steps, Err(fault)),
        }
    }
}

const HELLO: &[u8] = b"\x05\x01\0";

/// What a request is understood as.
fn request(said: &[u8]) -> Result<Target, Fault> {
    let (mut steps, rest) = negotiate(&[HELLO, said].concat());
    assert_eq!(steps[0], Step::Say([5, 0]));
    match (steps.pop(), rest?) {
        (Some(Step::Asked(target)), 0) => Ok(target),
        (step, rest) => panic!("{step:?}, {rest} bytes left"),
    }
}

fn asks_for(said: &[u8], expected: &str) {
    assert_eq!(request(said).map(|target| target.to_string()).as_deref(), Ok(expected));
}

fn named(host: &[u8]) -> Vec<u8> {
    [&[5, 1, 0, 3, u8::try_from(host.len()).unwrap()], host, &[0, 80]].concat()
}

#[test]
fn addresses_and_names_are_asked_for() {
    asks_for(b"\x05\x01\0\x01\x0a\0\0\x01\x1f\x90", "10.0.0.1:8080");
    asks_for(b"\x05\x01\0\x04\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x07\0\x50", "[fd00::7]:80");
    asks_for(&named(b"web.shop.svc.cluster.local"), "web.shop.svc.cluster.local:80");
    asks_for(&named(b"Web_1-a.example."), "Web_1-a.example.:80");
}

#[test]
fn a_mapped_address_is_ipv4() {
    asks_for(b"\x05\x01\0\x04\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\0\0\x01\0\x50", "10.0.0.1:80");
}

#[test]
fn an_address_in_the_place_of_a_name_is_an_address() {
    for (name, address) in [
        ("10.0.0.1", "10.0.0.1:80"),
        ("fd00::7", "[fd00::7]:80"),
        ("[fd00::7]", "[fd00::7]:80"),
        ("::ffff:10.0.0.1", "10.0.0.1:80"),
    ] {
        let target = request(&named(name.as_bytes())).unwrap();
        assert_eq!(target, Target::Address(address.parse().unwrap()), "{name}");
    }
    // What the C library would take for one is a name that nobody has.
    asks_for(&named(b"127.1"), "127.1:80");
}

#[test]
fn a_name_nobody_can_have_is_no_host() {
    for name in [&b""[..], b".", b"a b", b"a\0", b"\xff\xfe", b"[10.0.0.1]", b"fe80::1%eth0", b"a/b", b"a:80"]
    {
        assert_eq!(request(&named(name)), Err(Fault::NotAName), "{name:?}");
    }
    assert!(request(&named(&[b'a'; 253])).is_ok());
    assert_eq!(request(&named(&[b'a'; 254])), Err(Fault::NotAName));
    assert_eq!(request(&named(&[b'a'; 255])), Err(Fault::NotAName));
}

#[test]
fn the_reserved_byte_is_the_clients_own_business() {
    asks_for(b"\x05\x01\x07\x01\x0a\0\0\x01\0\x50", "10.0.0.1:80");
}

#[test]
fn no_authentication_is_chosen_wherever_it_is_offered() {
    let all: Vec<u8> = [5, 255].into_iter().chain((0..255).rev()).collect();
    for hello in [&b"\x05\x01\0"[..], b"\x05\x03\x02\x01\0", &all] {
        assert_eq!(negotiate(hello), (vec![Step::Say([5, 0])], Ok(0)));
    }
}

#[test]
fn what_is_not_understood_is_answered_as_the_rfc_has_it() {
    let refused = |code: u8| vec![5, code, 0, 1, 0, 0, 0, 0, 0, 0];
    for (said, fault, answer) in [
        (&b"\x04\x01\0\x50\x0a\0\0\x01\0"[..], Fault::Version(4), vec![5, 0xff]),
        (b"GET / HTTP/1.1\r\n\r\n", Fault::Version(b'G'), vec![5, 0xff]),
        (b"\x04", Fault::Version(4), vec![5, 0xff]),
        (b"\x05\0", Fault::NoMethod, vec![5, 0xff]),
        (b"\x05\x02\x01\x02", Fault::NoMethod, vec![5, 0xff]),
        (b"\x05\x01\0\x04", Fault::RequestVersion(4), refused(1)),
        (b"\x05\x01\0\x05\x02", Fault::Command(2), refused(7)),
        (b"\x05\x01\0\x05\x03\0\x01\0\0\0\0\0\0", Fault::Command(3), refused(7)),
        (b"\x05\x01\0\x05\0", Fault::Command(0), refused(7)),
        (b"\x05\x01\0\x05\x01\0\x02", Fault::AddressType(2), refused(8)),
        (b"\x05\x01\0\x05\x01\0\x03\0\0\x50", Fault::NotAName, refused(4)),
        (b"\x05\x01\0\x05\x01\0\x01\x0a\0\0\x01\0\0", Fault::NoPort, refused(5)),
    ] {
        let settled = negotiate(said).1;
        assert_eq!(settled, Err(fault), "{said:?}");
        assert_eq!(fault.answer(), answer, "{fault}");
    }
}

#[test]
fn what_follows_a_request_is_left_to_the_connection() {
    let all = [HELLO, &named(b"web"), b"GET /"].concat();
    let web = Target::Name { host: "web".into(), port: 80 };
    assert_eq!(negotiate(&all), (vec![Step::Say([5, 0]), Step::Asked(web)], Ok(5)));
}

#[test]
fn what_is_read_is_never_more_than_is_missing() {
    let (longest, all) = (named(&[b'a'; 253]), [HELLO, &named(&[b'a'; 253])].concat());
    assert_eq!(longest.len() + 2, LONGEST);
    let (mut negotiation, mut rest, mut reads) = (Negotiation::default(), all.as_slice(), Vec::new());
    while negotiation.missing() > 0 {
        let mut next = rest.split_off(..negotiation.missing()).unwrap();
        reads.push(next.len());
        negotiation.receive(&mut next).unwrap();
        assert!(next.is_empty());
    }
    assert_eq!((reads, rest.len()), (vec![2, 1, 4, 1, 255], 0));
}
