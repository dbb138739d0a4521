//! Tokens of service accounts: issued, asked for, and reviewed as a server does it.
//!
//! In go descriptions of tokens, by calls of a test or as `TokenRequest`; out come texts that look like those of a cluster (JWT), and
//! what a `TokenReview` says of each. Nothing is signed: a token is known because it was issued here. A token that is bound to a pod is
//! good for as long as there is a pod of that name with that UID.

use std::collections::HashMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::ApiServer;
use super::call::Target;
use super::kinds;
use super::refusal::Refusal;
use super::state::State;
use super::store::{Key, Store};

/// Whom a token is for that says nothing: the API server itself.
const ISSUER: &str = "https://kubernetes.default.svc";

/// How long a token lasts that says nothing.
const HOUR: i64 = 3600;

/// The shortest life that can be asked for.
const SHORTEST: i64 = 600;

/// A token being described; [`ApiServer::issue`] makes it.
#[derive(Debug, Clone)]
pub struct Token {
    owner: Owner,
    audiences: Vec<String>,
    /// From now on; negative for one that has expired.
    seconds: i64,
    pod: Option<String>,
}

/// Whose it is.
#[derive(Debug, Clone)]
enum Owner {
    Account { namespace: String, name: String },
    User(String),
}

/// What is known of a token that was issued.
#[derive(Debug, Clone)]
struct Issued {
    owner: Owner,
    audiences: Vec<String>,
    /// In seconds since 1970.
    expires: i64,
    pod: Option<Pod>,
}

/// The pod a token is bound to.
#[derive(Debug, Clone)]
struct Pod {
    name: String,
    uid: String,
    node: String,
}

/// All tokens there are.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    issued: HashMap<String, Issued>,
    reviews: usize,
    /// Reviews leave the node out, as servers before 1.30 do.
    nodeless: bool,
}

impl Token {
    /// One of a service account: for the API server itself, good for an hour, bound to nothing.
    #[must_use]
    pub fn of(namespace: &str, account: &str) -> Self {
        Self::new(Owner::Account { namespace: namespace.to_owned(), name: account.to_owned() })
    }

    /// One of somebody else, such as `alice`.
    #[must_use]
    pub fn of_user(name: &str) -> Self {
        Self::new(Owner::User(name.to_owned()))
    }

    fn new(owner: Owner) -> Self {
        Self { owner, audiences: Vec::new(), seconds: HOUR, pod: None }
    }

    /// Adds one whom it is for.
    #[must_use]
    pub fn audience(mut self, audience: &str) -> Self {
        self.audiences.push(audience.to_owned());
        self
    }

    /// Binds it to a pod, as the token in a volume of that pod is.
    #[must_use]
    pub fn pod(mut self, name: &str) -> Self {
        self.pod = Some(name.to_owned());
        self
    }

    /// Says how long it is good for, in whole seconds.
    #[must_use]
    pub fn lasting(mut self, life: Duration) -> Self {
        self.seconds = i64::try_from(life.as_secs()).unwrap_or(HOUR);
        self
    }

    /// Makes it one that is not good any more.
    #[must_use]
    pub fn expired(mut self) -> Self {
        self.seconds = -1;
        self
    }
}

/// Tokens of service accounts.
impl ApiServer {
    /// Issues a token.
    ///
    /// # Errors
    /// When it shall be bound to a pod that is not there, or runs under another account.
    #[expect(clippy::needless_pass_by_value, reason = "callers describe it right here")]
    pub fn issue(&self, token: Token) -> Result<String, Refusal> {
        self.shared.change(|state| issue(state, &token)).map(|(text, _)| text)
    }

    /// How many reviews were answered so far; troubles answer instead, and do not count.
    #[must_use]
    pub fn reviews(&self) -> usize {
        self.shared.lock().tokens.reviews
    }

    /// Whether reviews tell the node of a pod. Servers do since 1.30.
    pub fn tell_nodes_in_reviews(&self, tell: bool) {
        self.shared.lock().tokens.nodeless = !tell;
    }
}

/// What can be made of tokens over HTTP.
#[derive(Debug)]
pub(crate) enum Request<'a> {
    Review,
    Token { namespace: &'a str, account: &'a str },
}

impl<'a> Request<'a> {
    /// None for what is created otherwise.
    pub(crate) fn of(target: &'a Target) -> Option<Self> {
        let Target { group, version, resource, namespace, name, subresource } = target;
        match (group.as_str(), version.as_str(), resource.as_str()) {
            ("authentication.k8s.io", "v1", "tokenreviews") => Some(Self::Review),
            ("", "v1", "serviceaccounts") if subresource.as_deref() == Some("token") => {
                Some(Self::Token { namespace: namespace.as_deref()?, account: name.as_deref()? })
            }
            _ => None,
        }
    }

    /// Does what is asked for; the answer is what was sent, with a status.
    pub(crate) fn answer(&self, state: &mut State, mut body: Value) -> Result<Value, Refusal> {
        if !body.is_object() {
            return Err(Refusal::bad_request("the body of the request is not an object"));
        }
        body["status"] = match self {
            Self::Review => review(state, &body["spec"])?,
            Self::Token { namespace, account } => token(state, namespace, account, &body["spec"])?,
        };
        Ok(body)
    }
}

fn token(state: &mut State, namespace: &str, account: &str, spec: &Value) -> Result<Value, Refusal> {
    let place = key(&state.store, "serviceaccounts", namespace, account)?;
    if state.store.object(&place.0).is_none() {
        return Err(Refusal::not_found(&place.1, account));
    }
    let seconds = spec["expirationSeconds"].as_i64().unwrap_or(HOUR);
    if seconds < SHORTEST {
        let why = format!(
            "spec.expirationSeconds: Invalid value: {seconds}: may not specify a duration less than 10 minutes"
        );
        return Err(Refusal::invalid(&place.1, account, &why));
    }
    let bound = &spec["boundObjectRef"];
    let mut wanted = Token { seconds, audiences: texts(&spec["audiences"]), ..Token::of(namespace, account) };
    match (bound.is_null(), bound["kind"].as_str()) {
        (true, _) => {}
        (false, Some("Pod")) => wanted.pod = bound["name"].as_str().map(ToOwned::to_owned),
        (false, _) => return Err(Refusal::bad_request("cannot bind token to object of this type")),
    }
    let (text, issued) = issue(state, &wanted)?;
    if issued.pod.is_some_and(|pod| bound["uid"].as_str().is_some_and(|uid| uid != pod.uid)) {
        state.tokens.issued.remove(&text);
        return Err(Refusal::conflict(
            &place.1,
            account,
            "the UID in the bound object reference does not match",
        ));
    }
    Ok(json!({"token": text, "expirationTimestamp": rfc3339(issued.expires)}))
}

fn issue(state: &mut State, wanted: &Token) -> Result<(String, Issued), Refusal> {
    let pod = match (&wanted.pod, &wanted.owner) {
        (Some(pod), Owner::Account { namespace, name }) => Some(bind(&state.store, namespace, name, pod)?),
        (Some(_), Owner::User(_)) => {
            return Err(Refusal::bad_request("only tokens of accounts are bound to pods"));
        }
        (None, _) => None,
    };
    let mut audiences = wanted.audiences.clone();
    if audiences.is_empty() {
        audiences.push(ISSUER.to_owned());
    }
    let expires = OffsetDateTime::now_utc().unix_timestamp() + wanted.seconds;
    let issued = Issued { owner: wanted.owner.clone(), audiences, expires, pod };
    let text = written(&issued, state.tokens.issued.len());
    state.tokens.issued.insert(text.clone(), issued.clone());
    Ok((text, issued))
}

fn bind(store: &Store, namespace: &str, account: &str, name: &str) -> Result<Pod, Refusal> {
    let (key, kind) = key(store, "pods", namespace, name)?;
    let pod = store.object(&key).ok_or_else(|| Refusal::not_found(&kind, name))?;
    if pod["spec"]["serviceAccountName"] != *account {
        let why = format!(
            "cannot bind token for serviceaccount {account:?} to pod running with different serviceaccount name."
        );
        return Err(Refusal::bad_request(why));
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Ok(Pod {
        name: name.to_owned(),
        uid: text(&pod["metadata"]["uid"]),
        node: text(&pod["spec"]["nodeName"]),
    })
}

/// As a cluster writes it. The number makes it another one than all before.
fn written(issued: &Issued, number: usize) -> String {
    let Issued { owner, audiences, expires, pod } = issued;
    let mut claims =
        json!({"aud": audiences, "exp": expires, "iat": expires - HOUR, "iss": ISSUER, "sub": user(owner)});
    if let Owner::Account { namespace, name } = owner {
        claims["kubernetes.io"] = json!({"namespace": namespace, "serviceaccount": {"name": name}});
    }
    if let Some(Pod { name, uid, node }) = pod {
        claims["kubernetes.io"]["pod"] = json!({"name": name, "uid": uid});
        claims["kubernetes.io"]["node"] = json!({"name": node});
    }
    let header = json!({"alg": "RS256", "kid": "lab"}).to_string();
    [header, claims.to_string(), format!("token {number}")].map(|part| URL_SAFE_NO_PAD.encode(part)).join(".")
}

fn review(state: &mut State, spec: &Value) -> Result<Value, Refusal> {
    let text = spec["token"].as_str().unwrap_or_default();
    if text.is_empty() {
        return Err(Refusal::bad_request("token is required for TokenReview in authentication"));
    }
    state.tokens.reviews += 1;
    let mut wanted = texts(&spec["audiences"]);
    if wanted.is_empty() {
        wanted.push(ISSUER.to_owned());
    }
    let judged = match state.tokens.issued.get(text) {
        Some(issued) => judge(&state.store, issued, &wanted),
        None => Err("invalid bearer token".to_owned()),
    };
    Ok(match judged {
        Ok((issued, audiences)) => {
            let user = described(issued, state.tokens.nodeless);
            json!({"authenticated": true, "user": user, "audiences": audiences})
        }
        Err(why) => json!({"user": {}, "error": why}),
    })
}

/// Whether a token is good for one of the audiences, and for which.
fn judge<'a>(
    store: &Store,
    issued: &'a Issued,
    wanted: &[String],
) -> Result<(&'a Issued, Vec<String>), String> {
    let Issued { owner, audiences, expires, pod } = issued;
    let common: Vec<String> = wanted.iter().filter(|wanted| audiences.contains(wanted)).cloned().collect();
    if common.is_empty() {
        return Err(format!(
            "[invalid bearer token, token audiences {audiences:?} is invalid for the target audiences {wanted:?}]"
        ));
    }
    if *expires <= OffsetDateTime::now_utc().unix_timestamp() {
        return Err("[invalid bearer token, service account token has expired]".to_owned());
    }
    if let (Some(pod), Owner::Account { namespace, .. }) = (pod, owner) {
        let there = key(store, "pods", namespace, &pod.name).ok().and_then(|(key, _)| store.object(&key));
        if there.is_none_or(|there| there["metadata"]["uid"] != *pod.uid) {
            return Err("[invalid bearer token, service account token has been invalidated]".to_owned());
        }
    }
    Ok((issued, common))
}

/// The user of a review.
fn described(issued: &Issued, nodeless: bool) -> Value {
    let mut described = json!({"username": user(&issued.owner), "groups": ["system:authenticated"]});
    if let Owner::Account { namespace, .. } = &issued.owner {
        let of_namespace = format!("system:serviceaccounts:{namespace}");
        described["groups"] = json!(["system:serviceaccounts", of_namespace, "system:authenticated"]);
    }
    if let Some(Pod { name, uid, node }) = &issued.pod {
        let extra = &mut described["extra"];
        extra["authentication.kubernetes.io/pod-name"] = json!([name]);
        extra["authentication.kubernetes.io/pod-uid"] = json!([uid]);
        if !nodeless && !node.is_empty() {
            extra["authentication.kubernetes.io/node-name"] = json!([node]);
        }
    }
    described
}

fn user(owner: &Owner) -> String {
    match owner {
        Owner::Account { namespace, name } => format!("system:serviceaccount:{namespace}:{name}"),
        Owner::User(name) => name.clone(),
    }
}

fn key(store: &Store, resource: &str, namespace: &str, name: &str) -> Result<(Key, kinds::Kind), Refusal> {
    let kind = kinds::named(store, resource).ok_or_else(Refusal::no_such_resource)?;
    Ok((Key { table: kind.table(), namespace: namespace.to_owned(), name: name.to_owned() }, kind))
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(ToOwned::to_owned).collect()
}

fn rfc3339(seconds: i64) -> String {
    OffsetDateTime::from_unix_timestamp(seconds)
        .ok()
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_default()
}
