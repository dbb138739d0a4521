//! What tokens of service accounts say of themselves, and what the API server says of them.
//!
//! The bytes are a token, the claims of one that is still to be put together, or the status of a review. Whoever is believed is whom all of
//! it says, by a second reader: for us, of an account and a pod whose names can stand in a path, and not over. Less than a yes is a no:
//! a yes from which anything it depends on is taken away, one thing at a time, is none.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use culvert_token::review::{Reviewed, Status, judge};
use culvert_token::{Account, Stranger, claims};
use serde_json::{Value, json};

use crate::memory::Bound;

/// Whom tokens have to be for.
const AUDIENCES: [&str; 2] = ["istio-ca", "mesh"];

/// When it is, in seconds.
const NOW: u64 = 1_000_000;

/// What the API server's clock may be behind.
const CLOCKS: u64 = 60;

/// The longest token anybody makes.
const LONGEST: usize = 16 << 10;

/// Where an answer says which pod a token is bound to, and where that is.
const OF_A_POD: [&str; 3] = [
    "authentication.kubernetes.io/pod-name",
    "authentication.kubernetes.io/pod-uid",
    "authentication.kubernetes.io/node-name",
];

/// The first byte says what the others are.
pub fn run(data: &[u8]) {
    let Some((&choice, data)) = data.split_first() else { return };
    let bound = Bound::new((64 << 10) + 64 * data.len());
    match choice % 3 {
        0 => claimed(&String::from_utf8_lossy(data)),
        1 => claimed(&token(data)),
        _ => reviewed(data),
    }
    bound.check();
}

fn token(payload: &[u8]) -> String {
    [&br#"{"alg":"RS256"}"#[..], payload, b"signed"].map(|part| BASE64_URL_SAFE_NO_PAD.encode(part)).join(".")
}

fn audiences() -> Vec<String> {
    AUDIENCES.map(str::to_owned).into()
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn claimed(token: &str) {
    let Ok(read) = claims::read(token, &audiences(), at(NOW)) else { return };
    assert!(token.len() <= LONGEST, "nobody makes such a token");
    assert!(claims::read(token, &audiences(), at(0)).is_ok(), "it was no good before");
    assert!(claims::read(token, &[], at(NOW)).is_err(), "it is for everybody");
    let parts: Vec<_> = token.split('.').collect();
    let [_, payload, _] = parts[..] else { panic!("it has {} parts", parts.len()) };
    let payload = BASE64_URL_SAFE_NO_PAD.decode(payload).expect("it was read");
    // What is skipped by the first reader may be too odd for the second.
    let Ok(claims) = serde_json::from_slice::<Value>(&payload) else { return };
    let text = |pointer: &str| claims.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    is_for_us(claims.get("aud"));
    is_account(&read.account, text("/sub"));
    let said = (text("/kubernetes.io/namespace"), text("/kubernetes.io/serviceaccount/name"));
    assert_eq!(said, (&*read.account.namespace, &*read.account.name), "it contradicts itself");
    assert_eq!(text("/kubernetes.io/pod/name"), read.pod);
    assert!(is_plain(&read.pod) && !text("/kubernetes.io/pod/uid").is_empty(), "it is bound to no pod");
    let ends = claims::expiry(token).expect("it ends");
    let seconds = claims.get("exp").and_then(Value::as_f64).expect("it says when");
    let said = at(0) + Duration::from_secs_f64(seconds);
    assert!(ends == said && ends + Duration::from_secs(CLOCKS) > at(NOW), "it ended at {seconds}");
    let over = ends + Duration::from_secs(CLOCKS);
    assert_eq!(claims::read(token, &audiences(), over), Err(Stranger::Expired));
}

/// A claim or an answer names one of those a token has to be for.
fn is_for_us(audiences: Option<&Value>) {
    let ours = |audience: &Value| audience.as_str().is_some_and(|it| AUDIENCES.contains(&it));
    let several = |audiences: &Value| audiences.as_array().is_some_and(|all| all.iter().any(ours));
    assert!(audiences.is_some_and(|it| ours(it) || several(it)), "{audiences:?} is for others");
}

fn is_account(account: &Account, user: &str) {
    let Account { namespace, name } = account;
    assert_eq!(format!("system:serviceaccount:{namespace}:{name}"), user);
    assert!(is_plain(namespace) && is_plain(name), "{account} in a path");
}

/// Whether a text can be a name in a path.
fn is_plain(text: &str) -> bool {
    let plain = |it: char| it.is_ascii_alphanumeric() || "-._:".contains(it);
    !text.is_empty() && text.chars().all(plain) && !matches!(text, "." | "..")
}

fn judged(status: &Value) -> Option<Result<Reviewed, Stranger>> {
    let read: Status = serde_json::from_value(status.clone()).ok()?;
    Some(judge(read, &audiences()))
}

fn reviewed(answer: &[u8]) {
    let Ok(read) = serde_json::from_slice::<Status>(answer) else { return };
    let Ok(reviewed) = judge(read, &audiences()) else { return };
    let Ok(status) = serde_json::from_slice::<Value>(answer) else { return };
    assert_eq!(status.get("authenticated"), Some(&Value::Bool(true)));
    is_for_us(status.get("audiences"));
    let user = |pointer: &str| status.pointer(&format!("/user{pointer}")).cloned().unwrap_or_default();
    is_account(&reviewed.account, user("/username").as_str().unwrap_or_default());
    let said = |key: &str| user("/extra").get(key).and_then(|said| said.get(0)?.as_str().map(str::to_owned));
    let [name, uid, node] = OF_A_POD.map(said);
    if let Some(pod) = &reviewed.pod {
        assert_eq!((Some(&pod.name), Some(&pod.uid)), (name.as_ref(), uid.as_ref()), "it is another pod");
        assert!(is_plain(&pod.name) && !pod.uid.is_empty(), "{pod:?} in a path");
    }
    if reviewed.node.is_some() {
        assert_eq!(reviewed.node, node, "it is elsewhere");
    }
    for (pointer, less) in [
        ("/authenticated", json!(false)),
        ("/error", json!("something")),
        ("/audiences", json!(["kubernetes"])),
        ("/audiences", Value::Null),
        ("/user/groups", json!(["system:authenticated"])),
        ("/user/username", json!("system:node:n1")),
        ("/user", Value::Null),
    ] {
        let mut status = status.clone();
        let (object, field) = pointer.rsplit_once('/').expect("it is a pointer");
        status.pointer_mut(object).expect("it is there")[field] = less;
        assert!(!matches!(judged(&status), Some(Ok(_))), "{status} is a yes");
    }
}
