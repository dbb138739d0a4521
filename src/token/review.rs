//! What the API server says of a token: the status of a `TokenReview`.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

use crate::{Account, Stranger, is_name};

const POD_NAME: &str = "authentication.kubernetes.io/pod-name";
const POD_UID: &str = "authentication.kubernetes.io/pod-uid";
const NODE_NAME: &str = "authentication.kubernetes.io/node-name";

/// The group of all service accounts.
const ACCOUNTS: &str = "system:serviceaccounts";

/// Whose token it is.
#[derive(Debug, PartialEq, Eq)]
pub struct Reviewed {
    /// The account.
    pub account: Account,
    /// The pod it is bound to.
    pub pod: Option<PodRef>,
    /// The node that pod is on. Servers say so since 1.30.
    pub node: Option<String>,
}

/// One pod among all that had or will have its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodRef {
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
}

/// The status, as it is written.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Status {
    authenticated: bool,
    error: String,
    #[serde(deserialize_with = "or_default")]
    audiences: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    user: User,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct User {
    username: String,
    #[serde(deserialize_with = "or_default")]
    groups: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    extra: BTreeMap<String, Vec<String>>,
}

/// Whose token it is, if it is good for one of these audiences.
///
/// # Errors
/// It is not, or it is not said.
pub fn judge(status: Status, audiences: &[String]) -> Result<Reviewed, Stranger> {
    let Status { authenticated, error, audiences: confirmed, user } = status;
    if !authenticated || !error.is_empty() {
        return Err(why(&error));
    }
    // A server that does not know of audiences has looked at its own, and says none.
    if !confirmed.iter().any(|confirmed| audiences.contains(confirmed)) {
        return Err(Stranger::Audience);
    }
    let account = Account::of_user(&user.username).ok_or(Stranger::NotAnAccount)?;
    if !user.groups.iter().any(|group| group == ACCOUNTS) {
        return Err(Stranger::NotAnAccount);
    }
    let said = |key: &str| user.extra.get(key).and_then(|said| said.first()).filter(|said| !said.is_empty());
    let pod = said(POD_NAME).filter(|name| is_name(name)).zip(said(POD_UID));
    Ok(Reviewed {
        account,
        pod: pod.map(|(name, uid)| PodRef { name: name.clone(), uid: uid.clone() }),
        node: said(NODE_NAME).cloned(),
    })
}

/// What servers mean. They say it in words alone, which differ a little between versions; what is not understood is simply a no.
fn why(error: &str) -> Stranger {
    if error.contains("expired") {
        Stranger::Expired
    } else if error.contains("audience") {
        Stranger::Audience
    } else if error.contains("invalidated") {
        Stranger::PodGone
    } else {
        Stranger::Unknown
    }
}

/// Lists without entries are sometimes written as `null`.
fn or_default<'de, T: Default + Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    Option::deserialize(from).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn good() -> Value {
        json!({
            "authenticated": true,
            "audiences": ["istio-ca"],
            "user": {
                "username": "system:serviceaccount:mesh:node",
                "groups": ["system:serviceaccounts", "system:serviceaccounts:mesh", "system:authenticated"],
                "extra": {POD_NAME: ["node-x"], POD_UID: ["1"], NODE_NAME: ["n1"]},
            },
        })
    }

    #[track_caller]
    fn check(status: Value, expected: Result<Reviewed, Stranger>) {
        let read = serde_json::from_value(status.clone()).unwrap();
        assert_eq!(judge(read, &["istio-ca".to_owned(), "mesh".to_owned()]), expected, "{status}");
    }

    fn with(pointer: &str, value: Value) -> Value {
        let mut status = good();
        let (object, field) = pointer.rsplit_once('/').unwrap();
        status.pointer_mut(object).unwrap()[field] = value;
        status
    }

    fn reviewed(node: Option<&str>) -> Reviewed {
        let account = "mesh/node".parse().unwrap();
        let pod = Some(PodRef { name: "node-x".to_owned(), uid: "1".to_owned() });
        Reviewed { account, pod, node: node.map(ToOwned::to_owned) }
    }

    #[test]
    fn a_yes_says_who_and_where() {
        check(good(), Ok(reviewed(Some("n1"))));
        check(with("/audiences", json!(["other", "mesh"])), Ok(reviewed(Some("n1"))));
        check(with("/user/extra", json!({POD_NAME: ["node-x"], POD_UID: ["1"]})), Ok(reviewed(None)));
        for unbound in [
            json!(null),
            json!({}),
            json!({POD_NAME: ["node-x"]}),
            json!({POD_NAME: ["node-x"], POD_UID: []}),
            json!({POD_NAME: ["../../secrets/x"], POD_UID: ["1"]}),
            json!({POD_NAME: ["x?watch=true"], POD_UID: ["1"]}),
        ] {
            check(with("/user/extra", unbound), Ok(Reviewed { pod: None, ..reviewed(None) }));
        }
    }

    #[test]
    fn whatever_is_less_than_a_yes_is_a_no() {
        check(json!({}), Err(Stranger::Unknown));
        check(with("/authenticated", json!(false)), Err(Stranger::Unknown));
        check(with("/error", json!("something is wrong")), Err(Stranger::Unknown));
        check(with("/audiences", json!(["kubernetes"])), Err(Stranger::Audience));
        check(with("/audiences", json!([])), Err(Stranger::Audience));
        check(with("/audiences", json!(null)), Err(Stranger::Audience));
        check(with("/user/username", json!("alice")), Err(Stranger::NotAnAccount));
        check(with("/user/groups", json!(["system:authenticated"])), Err(Stranger::NotAnAccount));
        check(with("/user", json!(null)), Err(Stranger::NotAnAccount));
    }

    #[test]
    fn the_words_of_servers_are_understood() {
        for (error, expected) in [
            ("[invalid bearer token, service account token has expired]", Stranger::Expired),
            ("[invalid bearer token, Token has expired.]", Stranger::Expired),
            ("token audiences [\"a\"] is invalid for the target audiences [\"b\"]", Stranger::Audience),
            ("[invalid bearer token, service account token has been invalidated]", Stranger::PodGone),
            ("invalid bearer token", Stranger::Unknown),
            ("", Stranger::Unknown),
        ] {
            check(json!({"authenticated": false, "error": error}), Err(expected));
        }
    }
}
