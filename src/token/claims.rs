//! What a token says of itself. Nothing of it is to be believed before somebody who can has found that the token is genuine; what would
//! not be good for anything even then need not be asked about.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::{Account, Stranger, is_name};

/// The longest token anybody makes.
const LONGEST: usize = 16 * 1024;

/// How far the API server's clock may be behind ours: about what ended this lately it is asked all the same.
const CLOCKS: Duration = Duration::from_secs(60);

/// Whose a token says it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Claims {
    /// The account, in the words of the token.
    pub account: Account,
    /// The name of the pod.
    pub pod: String,
}

/// The form in which API servers write tokens that are bound to pods.
#[derive(Deserialize)]
struct Written {
    #[serde(default)]
    aud: Audiences,
    exp: Option<f64>,
    #[serde(default)]
    sub: String,
    #[serde(rename = "kubernetes.io")]
    cluster: Option<Cluster>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audiences {
    One(String),
    Several(Vec<String>),
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Cluster {
    namespace: String,
    serviceaccount: Named,
    pod: Option<Named>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Named {
    name: String,
    uid: String,
}

impl Default for Audiences {
    fn default() -> Self {
        Self::Several(Vec::new())
    }
}

impl Audiences {
    fn include(&self, wanted: &[String]) -> bool {
        match self {
            Self::One(one) => wanted.contains(one),
            Self::Several(several) => several.iter().any(|one| wanted.contains(one)),
        }
    }
}

/// Reads a token that might be good for one of these audiences, or says why it cannot be.
///
/// # Errors
/// What would be said of it at best.
pub fn read(token: &str, audiences: &[String], now: SystemTime) -> Result<Claims, Stranger> {
    let payload = is_jwt(token).then(|| payload::<Written>(token)).flatten();
    let Written { aud, exp, sub, cluster } = payload.ok_or(Stranger::Unknown)?;
    if !aud.include(audiences) {
        return Err(Stranger::Audience);
    }
    let account = Account::of_user(&sub).ok_or(Stranger::NotAnAccount)?;
    let Cluster { namespace, serviceaccount, pod } = cluster.unwrap_or_default();
    let pod = pod.filter(|pod| is_name(&pod.name) && !pod.uid.is_empty()).ok_or(Stranger::Unbound)?;
    // Nobody makes one that contradicts itself, or never ends.
    let ends = exp.and_then(instant).ok_or(Stranger::Unknown)?;
    if namespace != account.namespace || serviceaccount.name != account.name {
        return Err(Stranger::Unknown);
    }
    if ends + CLOCKS <= now {
        return Err(Stranger::Expired);
    }
    Ok(Claims { account, pod: pod.name })
}

/// When a token ends, if it says so.
#[must_use]
pub fn expiry(token: &str) -> Option<SystemTime> {
    #[derive(Deserialize)]
    struct Claims {
        exp: f64,
    }
    payload::<Claims>(token).and_then(|claims| instant(claims.exp))
}

/// Tells whether a text has the form of the tokens of service accounts (RFC 7519): three parts in Base64.
fn is_jwt(token: &str) -> bool {
    let base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    let parts = token.split('.');
    token.len() <= LONGEST
        && parts.clone().count() == 3
        && parts.into_iter().all(|part| !part.is_empty() && part.bytes().all(base64))
}

fn payload<T: DeserializeOwned>(token: &str) -> Option<T> {
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    serde_json::from_slice(&payload).ok()
}

/// The moment so many seconds after 1970; none that nobody means.
fn instant(seconds: f64) -> Option<SystemTime> {
    const LATEST: f64 = 1e11;
    (0.0..LATEST).contains(&seconds).then(|| SystemTime::UNIX_EPOCH + Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn jwt(payload: &str) -> String {
        [r#"{"alg":"RS256"}"#, payload, "signature"].map(|part| URL_SAFE_NO_PAD.encode(part)).join(".")
    }

    #[test]
    fn the_end_of_a_token_is_in_it() {
        let after = |seconds| Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(expiry(&jwt(r#"{"exp": 1700000000, "aud": ["a"]}"#)), after(1_700_000_000));
        assert_eq!(expiry(&jwt(r#"{"exp": 1.7e9}"#)), after(1_700_000_000));
        for none in ["{}", "[]", "", r#"{"exp": "soon"}"#, r#"{"exp": -1}"#, r#"{"exp": 1e300}"#] {
            assert_eq!(expiry(&jwt(none)), None, "{none}");
        }
        assert_eq!((expiry("a.b.c"), expiry(""), expiry("a.é.c")), (None, None, None));
    }

    #[test]
    fn what_has_another_form_is_no_token_of_an_account() {
        assert!(is_jwt(&jwt("{}")));
        for other in [
            "",
            "token",
            "a.b",
            "a.b.c.d",
            "a..c",
            "a.b.c=",
            "a.b c.d",
            &format!("a.b.{}", "c".repeat(LONGEST)),
        ] {
            assert!(!is_jwt(other), "{other}");
            assert_eq!(read(other, &[], SystemTime::UNIX_EPOCH), Err(Stranger::Unknown));
        }
    }

    fn good() -> Value {
        json!({
            "aud": ["other", "istio-ca"], "exp": 1000, "iat": 1, "nbf": 1, "iss": "https://kubernetes.default.svc", "jti": "x",
            "sub": "system:serviceaccount:mesh:node",
            "kubernetes.io": {
                "namespace": "mesh",
                "node": {"name": "n1", "uid": "2"},
                "pod": {"name": "node-x", "uid": "1"},
                "serviceaccount": {"name": "node", "uid": "3"},
            },
        })
    }

    #[track_caller]
    fn check(pointer: &str, value: Value, expected: Result<(), Stranger>) {
        let mut claims = good();
        let (object, field) = pointer.rsplit_once('/').unwrap();
        claims.pointer_mut(object).unwrap()[field] = value;
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        let read = read(&jwt(&claims.to_string()), &["istio-ca".to_owned(), "mesh".to_owned()], now);
        let node = Claims { account: "mesh/node".parse().unwrap(), pod: "node-x".to_owned() };
        assert_eq!(read, expected.map(|()| node), "{claims}");
    }

    #[test]
    fn what_could_never_be_good_is_known_by_its_claims() {
        check("/jti", json!("y"), Ok(()));
        check("/aud", json!("mesh"), Ok(()));
        for wrong in [json!("kubernetes"), json!([]), json!(["kubernetes"])] {
            check("/aud", wrong, Err(Stranger::Audience));
        }
        for wrong in [json!("alice"), json!(""), json!("system:serviceaccount:mesh"), json!("system:node:n1")]
        {
            check("/sub", wrong, Err(Stranger::NotAnAccount));
        }
        check("/sub", json!("system:serviceaccount:mesh:other"), Err(Stranger::Unknown));
        check("/kubernetes.io/namespace", json!("other"), Err(Stranger::Unknown));
        check("/kubernetes.io/serviceaccount", json!({"name": "other"}), Err(Stranger::Unknown));
        let elsewhere = json!({"name": "../../secrets", "uid": "1"});
        for unbound in [json!(null), json!({}), json!({"name": "node-x"}), json!({"uid": "1"}), elsewhere] {
            check("/kubernetes.io/pod", unbound, Err(Stranger::Unbound));
        }
        check("/kubernetes.io", json!(null), Err(Stranger::Unbound));
        for (ends, expected) in [
            (json!(941), Ok(())),
            (json!(940), Err(Stranger::Expired)),
            (json!(-1), Err(Stranger::Unknown)),
            (json!(1e300), Err(Stranger::Unknown)),
            (json!(null), Err(Stranger::Unknown)),
            (json!("soon"), Err(Stranger::Unknown)),
        ] {
            check("/exp", ends, expected);
        }
    }
}
