//! An HTTP request as the API understands it: a verb on a resource, with options.
//!
//! Only the line of the request and its headers are looked at here; whether the resource exists, and what is in the body,
//! is for others.

use std::str::FromStr as _;
use std::time::Duration;

use axum::extract::Query;
use axum::http::{HeaderMap, Method, Uri, header};

use super::kinds::Kind;
use super::refusal::Refusal;
use super::selector::{FieldSelector, LabelSelector, Selector};

/// Which resource a path names, and what of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) resource: String,
    pub(crate) namespace: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) subresource: Option<String>,
}

/// A request on a resource.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) verb: &'static str,
    pub(crate) target: Target,
    pub(crate) query: Parameters,
    /// The client wants nothing but metadata.
    pub(crate) metadata_only: bool,
}

impl Call {
    /// None for a path that names no resource.
    pub(crate) fn parse(method: &Method, uri: &Uri, headers: &HeaderMap) -> Option<Self> {
        let target = Target::parse(uri.path())?;
        let query = Parameters::parse(uri);
        let verb = verb(method, &target, &query);
        let accepted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let metadata_only = accepted.contains("as=PartialObjectMetadata");
        Some(Self { verb, target, query, metadata_only })
    }

    /// As rules of who may do what have it: `pods`, `pods/status`.
    pub(crate) fn resource(&self) -> String {
        match &self.target.subresource {
            Some(subresource) => format!("{}/{subresource}", self.target.resource),
            None => self.target.resource.clone(),
        }
    }
}

fn verb(method: &Method, target: &Target, query: &Parameters) -> &'static str {
    match (method.as_str(), target.name.is_some()) {
        ("GET" | "HEAD", false) if query.flag("watch") => "watch",
        ("GET" | "HEAD", false) => "list",
        ("GET" | "HEAD", true) => "get",
        ("POST", _) => "create",
        ("PUT", _) => "update",
        ("PATCH", _) => "patch",
        ("DELETE", true) => "delete",
        ("DELETE", false) => "deletecollection",
        _ => "other",
    }
}

impl Target {
    fn parse(path: &str) -> Option<Self> {
        let mut parts = path.split('/').filter(|part| !part.is_empty());
        let (group, version) = match parts.next()? {
            "api" => ("", parts.next()?),
            "apis" => (parts.next()?, parts.next()?),
            _ => return None,
        };
        let parts: Vec<&str> = parts.collect();
        let (namespace, rest) = match parts.as_slice() {
            [] => return None,
            // A namespace is an object itself, with subresources of its own.
            ["namespaces", _, "status" | "finalize"] => (None, parts.as_slice()),
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (Some(*namespace), rest),
            rest => (None, rest),
        };
        let (resource, name, subresource) = match rest {
            [resource] => (*resource, None, None),
            [resource, name] => (*resource, Some(*name), None),
            [resource, name, subresource] => (*resource, Some(*name), Some(*subresource)),
            _ => return None,
        };
        let own = |text: Option<&str>| text.map(ToOwned::to_owned);
        Some(Self {
            group: group.to_owned(),
            version: version.to_owned(),
            resource: resource.to_owned(),
            namespace: own(namespace),
            name: own(name),
            subresource: own(subresource),
        })
    }
}

/// The query of a request, decoded.
#[derive(Debug, Clone, Default)]
pub(crate) struct Parameters(Vec<(String, String)>);

impl Parameters {
    fn parse(uri: &Uri) -> Self {
        Query::try_from_uri(uri).map(|Query(pairs)| Self(pairs)).unwrap_or_default()
    }

    /// A parameter that is there and not empty.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    pub(crate) fn flag(&self, name: &str) -> bool {
        self.text(name).is_some_and(|value| matches!(value, "1" | "true" | "True"))
    }

    pub(crate) fn number(&self, name: &str) -> Result<Option<u64>, Refusal> {
        let parse = |text: &str| {
            u64::from_str(text).map_err(|_| Refusal::bad_request(format!("{name}: {text:?} is not a number")))
        };
        self.text(name).map(parse).transpose()
    }
}

/// What a list or watch may show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Match {
    Unset,
    NotOlderThan,
    Exact,
}

/// The options of a list or a watch, checked.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) selector: Selector,
    /// None: the newest state. Zero: any state.
    pub(crate) revision: Option<u64>,
    pub(crate) matching: Match,
    pub(crate) limit: Option<usize>,
    pub(crate) token: Option<String>,
    pub(crate) bookmarks: bool,
    pub(crate) timeout: Option<Duration>,
    pub(crate) initial_events: bool,
}

impl Options {
    pub(crate) fn of(call: &Call, kind: &Kind) -> Result<Self, Refusal> {
        let query = &call.query;
        let limit = query.number("limit")?.and_then(|limit| usize::try_from(limit).ok());
        let options = Self {
            selector: Selector {
                namespace: call.target.namespace.clone(),
                labels: LabelSelector::parse(query.text("labelSelector").unwrap_or_default())?,
                fields: FieldSelector::parse(query.text("fieldSelector").unwrap_or_default(), kind)?,
            },
            revision: query.number("resourceVersion")?,
            matching: matching(query.text("resourceVersionMatch"))?,
            limit: limit.filter(|limit| *limit > 0),
            token: query.text("continue").map(ToOwned::to_owned),
            bookmarks: query.flag("allowWatchBookmarks"),
            timeout: query.number("timeoutSeconds")?.filter(|seconds| *seconds > 0).map(Duration::from_secs),
            initial_events: query.flag("sendInitialEvents"),
        };
        if call.verb == "watch" {
            options.check_watch()?
        } else {
            options.check_list()?
        }
        Ok(options)
    }

    fn check_watch(&self) -> Result<(), Refusal> {
        let forbidden = |why| Err(Refusal::invalid_options("resourceVersionMatch", why));
        match (self.initial_events, self.matching) {
            (true, Match::NotOlderThan) | (false, Match::Unset) => Ok(()),
            (true, Match::Unset | Match::Exact) => forbidden(
                "Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
            ),
            (false, Match::NotOlderThan | Match::Exact) => forbidden(
                "Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
            ),
        }
    }

    fn check_list(&self) -> Result<(), Refusal> {
        let forbidden = |why| Err(Refusal::invalid_options("resourceVersionMatch", why));
        if self.initial_events {
            let why = "Forbidden: sendInitialEvents is forbidden for list";
            return Err(Refusal::invalid_options("sendInitialEvents", why));
        }
        if self.token.is_some() && self.revision.is_some_and(|revision| revision > 0) {
            let why = "specifying resource version is not allowed when using continue";
            return Err(Refusal::bad_request(why));
        }
        match (self.matching, self.revision) {
            (Match::Unset, _) => Ok(()),
            _ if self.token.is_some() => {
                forbidden("Forbidden: resourceVersionMatch is forbidden when continue is provided")
            }
            (Match::NotOlderThan | Match::Exact, None) => {
                forbidden("Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided")
            }
            (Match::Exact, Some(0)) => {
                forbidden("Forbidden: resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"")
            }
            (Match::NotOlderThan | Match::Exact, Some(_)) => Ok(()),
        }
    }
}

fn matching(text: Option<&str>) -> Result<Match, Refusal> {
    match text {
        None => Ok(Match::Unset),
        Some("NotOlderThan") => Ok(Match::NotOlderThan),
        Some("Exact") => Ok(Match::Exact),
        Some(other) => {
            let why =
                format!("Unsupported value: {other:?}: supported values: \"Exact\", \"NotOlderThan\", \"\"");
            Err(Refusal::invalid_options("resourceVersionMatch", &why))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(method: &str, uri: &str) -> Option<(&'static str, String, Option<String>, Option<String>)> {
        let (method, uri) = (Method::from_bytes(method.as_bytes()).unwrap(), Uri::try_from(uri).unwrap());
        let call = Call::parse(&method, &uri, &HeaderMap::new())?;
        Some((call.verb, call.resource(), call.target.namespace, call.target.name))
    }

    fn check(method: &str, uri: &str, verb: &'static str, place: (&str, &str, &str)) {
        let own = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let expected = (verb, place.0.to_owned(), own(place.1), own(place.2));
        assert_eq!(parse(method, uri), Some(expected), "{method} {uri}");
    }

    #[test]
    fn paths_name_resources_and_methods_are_verbs() {
        check("GET", "/api/v1/pods", "list", ("pods", "", ""));
        check("GET", "/api/v1/pods?watch=1", "watch", ("pods", "", ""));
        check("GET", "/api/v1/pods?watch=false", "list", ("pods", "", ""));
        check("GET", "/api/v1/namespaces", "list", ("namespaces", "", ""));
        check("GET", "/api/v1/namespaces/shop", "get", ("namespaces", "", "shop"));
        check("PUT", "/api/v1/namespaces/shop/status", "update", ("namespaces/status", "", "shop"));
        check("GET", "/api/v1/namespaces/shop/pods", "list", ("pods", "shop", ""));
        check("PATCH", "/api/v1/namespaces/shop/pods/web/status", "patch", ("pods/status", "shop", "web"));
        check("POST", "/apis/events.k8s.io/v1/namespaces/shop/events", "create", ("events", "shop", ""));
        check(
            "DELETE",
            "/apis/apps/v1/namespaces/shop/deployments/web",
            "delete",
            ("deployments", "shop", "web"),
        );
    }

    #[test]
    fn other_paths_name_none() {
        for path in
            ["/", "/readyz", "/api", "/api/v1", "/apis", "/apis/apps", "/apis/apps/v1", "/api/v1/a/b/c/d"]
        {
            assert_eq!(parse("GET", path), None, "{path}");
        }
    }
}
