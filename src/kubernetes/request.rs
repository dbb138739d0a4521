//! Requests about single objects, by the path of the object: read it, make it, replace it, change a part of it.
//!
//! Paths are put together from names that others have chosen, so they are looked at: what would lead elsewhere is no request.

use http::header::{ACCEPT, CONTENT_TYPE};
use http::{Method, Uri};
use kube::core::request::Error;
use serde::Serialize;

const JSON: &str = "application/json";

/// A request, or why it cannot be made: who sends it is told.
pub struct Request(pub(crate) Result<http::Request<Vec<u8>>, Error>);

impl Request {
    /// Reads what is at a path: `/api/v1/namespaces/shop/pods/web`.
    #[must_use]
    pub fn get(path: &str) -> Self {
        Self(write(Method::GET, path, JSON, Vec::new()))
    }

    /// Makes an object (POST); the path is that of its resource, such as `/apis/authentication.k8s.io/v1/tokenreviews`.
    #[must_use]
    pub fn create(path: &str, object: &impl Serialize) -> Self {
        Self::with(Method::POST, path, JSON, object)
    }

    /// Replaces an object (PUT). With its `resourceVersion` in it nothing is overwritten that nobody has seen: the server refuses
    /// (409) when somebody else was faster.
    #[must_use]
    pub fn replace(path: &str, object: &impl Serialize) -> Self {
        Self::with(Method::PUT, path, JSON, object)
    }

    /// Merges a change into an object (RFC 7396): `null` removes. With `metadata.uid` in it the server refuses when the object of that
    /// name is another one by now, see [`Error::is_of_another`](crate::Error::is_of_another).
    #[must_use]
    pub fn merge(path: &str, change: &impl Serialize) -> Self {
        Self::with(Method::PATCH, path, "application/merge-patch+json", change)
    }

    /// Makes an object have these fields, as those of an author who takes them from others, and takes away those he had before and
    /// has not here (server-side apply).
    #[must_use]
    pub fn apply(path: &str, author: &str, object: &impl Serialize) -> Self {
        // JSON is YAML.
        Self::with(Method::PATCH, path, "application/apply-patch+yaml", object)
            .by(author)
            .asking("force=true")
    }

    /// Says who writes. The server notes it with the fields; otherwise it makes a name of the program's.
    #[must_use]
    pub fn by(self, author: &str) -> Self {
        if author.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._/".contains(&byte)) {
            self.asking(&format!("fieldManager={author}"))
        } else {
            Self(Err(Error::Validation(format!("the author {author:?} cannot be written in a URL"))))
        }
    }

    fn with(method: Method, path: &str, kind: &str, object: &impl Serialize) -> Self {
        let body = serde_json::to_vec(object).map_err(Error::SerializeBody);
        Self(body.and_then(|body| write(method, path, kind, body)))
    }

    fn asking(self, parameter: &str) -> Self {
        Self(self.0.and_then(|mut request| {
            let separator = if request.uri().query().is_some() { '&' } else { '?' };
            let uri: Result<Uri, _> = format!("{}{separator}{parameter}", request.uri()).parse();
            *request.uri_mut() = uri.map_err(|error| Error::BuildRequest(error.into()))?;
            Ok(request)
        }))
    }
}

/// Requests of the client library.
impl From<Result<http::Request<Vec<u8>>, Error>> for Request {
    fn from(request: Result<http::Request<Vec<u8>>, Error>) -> Self {
        Self(request)
    }
}

fn write(method: Method, path: &str, kind: &str, body: Vec<u8>) -> Result<http::Request<Vec<u8>>, Error> {
    if !leads_straight(path) {
        return Err(Error::Validation(format!("{path:?} is no path of an object")));
    }
    let request = http::Request::builder().method(method).uri(path).header(ACCEPT, JSON);
    let request = if body.is_empty() { request } else { request.header(CONTENT_TYPE, kind) };
    request.body(body).map_err(Error::BuildRequest)
}

/// Names are segments of their own, and none of them leads up or into the query.
fn leads_straight(path: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
    let name = |segment: &str| !matches!(segment, "" | "." | "..") && segment.bytes().all(plain);
    path.strip_prefix('/').is_some_and(|path| path.split('/').all(name))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn written(request: Request) -> (String, String, String, String) {
        let (parts, body) = request.0.unwrap().into_parts();
        let kind = parts.headers.get(CONTENT_TYPE).map(|kind| kind.to_str().unwrap().to_owned());
        let kind = kind.unwrap_or_default();
        (parts.method.to_string(), parts.uri.to_string(), kind, String::from_utf8(body).unwrap())
    }

    #[test]
    fn requests_are_written_as_the_api_server_reads_them() {
        let check = |request, (method, uri, kind, body): (&str, &str, &str, &str)| {
            assert_eq!(written(request), (method.into(), uri.into(), kind.into(), body.into()));
        };
        let (path, object) = ("/api/v1/namespaces/shop/configmaps/root", json!({"data": {}}));
        let body = r#"{"data":{}}"#;
        check(Request::get(path), ("GET", path, "", ""));
        check(
            Request::create("/api/v1/namespaces/shop/configmaps", &object),
            ("POST", "/api/v1/namespaces/shop/configmaps", JSON, body),
        );
        check(
            Request::replace(path, &object).by("culvert"),
            ("PUT", "/api/v1/namespaces/shop/configmaps/root?fieldManager=culvert", JSON, body),
        );
        let merged = "application/merge-patch+json";
        check(Request::merge(path, &object), ("PATCH", path, merged, body));
        let uri = "/api/v1/namespaces/shop/configmaps/root?fieldManager=culvert&force=true";
        let applied = "application/apply-patch+yaml";
        check(Request::apply(path, "culvert", &object), ("PATCH", uri, applied, body));
    }

    #[test]
    fn names_do_not_lead_elsewhere() {
        for name in ["", ".", "..", "../../secrets", "a/", "a?dryRun=All", "a#b", "a%2fb", "a b", "ä"] {
            assert!(Request::get(&format!("/api/v1/namespaces/{name}")).0.is_err(), "{name}");
        }
        assert!(Request::get("api/v1/pods").0.is_err());
        assert!(Request::get("/api/v1/namespaces/shop/pods/web-0.1:x").0.is_ok());
        assert!(Request::get("/api/v1/pods").by("a&force=true").0.is_err());
    }
}
