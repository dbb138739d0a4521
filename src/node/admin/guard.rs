//! Who may ask the admin server: programs of this host, and pages it has served itself.
//!
//! A browser on this host would ask for any page in the world: by that page's own request to `localhost`, or by a name of its own that
//! leads here (DNS rebinding). Neither comes with a `Host` of this host and without somebody else's `Origin`.

use std::net::{IpAddr, SocketAddr};

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// Lets a request in that was not made for somebody elsewhere.
pub(super) async fn check(request: Request, next: Next) -> Response {
    match refuse(request.headers()) {
        None => next.run(request).await,
        Some(why) => (StatusCode::FORBIDDEN, why).into_response(),
    }
}

fn refuse(headers: &HeaderMap) -> Option<String> {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let host = text(header::HOST);
    if let Some(host) = host.filter(|host| !is_of_this_host(host)) {
        return Some(format!(
            "`{host}` is no name of this host's loopback; ask localhost, 127.0.0.1 or [::1], through a port-forward if need be\n"
        ));
    }
    // Browsers say so of what has no origin, too: pictures, links, forms.
    if let Some(site) = text(HeaderName::from_static("sec-fetch-site"))
        .filter(|site| !matches!(*site, "same-origin" | "none"))
    {
        return Some(format!("a page of another site may not ask this server ({site})\n"));
    }
    let own = |origin: &str| origin.strip_prefix("http://").is_some_and(|origin| Some(origin) == host);
    let origin = text(header::ORIGIN).filter(|origin| !own(origin))?;
    Some(format!("a page of `{origin}` may not ask this server\n"))
}

fn is_of_this_host(host: &str) -> bool {
    if let Ok(address) = host.parse::<SocketAddr>() {
        return address.ip().to_canonical().is_loopback();
    }
    let name =
        host.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok()).map_or(host, |(it, _)| it);
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    bare.eq_ignore_ascii_case("localhost")
        || bare.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(host: Option<&str>, origin: Option<&str>) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in [(header::HOST, host), (header::ORIGIN, origin)] {
            headers.extend(value.map(|value| (name, value.parse().unwrap())));
        }
        refuse(&headers).is_some()
    }

    #[test]
    fn only_this_host_may_ask_and_no_page_of_another() {
        for host in ["localhost", "LOCALHOST:15000", "127.0.0.1:41234", "127.9.9.9", "[::1]:15000", "[::1]"] {
            assert!(!refused(Some(host), None), "{host}");
        }
        for host in
            ["evil.example", "evil.example:15000", "10.0.0.1:15000", "localhost.evil.example", "", "[::2]"]
        {
            assert!(refused(Some(host), None), "{host}");
        }
        assert!(!refused(None, None), "a Unix socket needs no name");
        assert!(!refused(Some("localhost:15000"), Some("http://localhost:15000")));
        for origin in ["http://evil.example", "https://localhost:15000", "http://localhost:15001", "null"] {
            assert!(refused(Some("localhost:15000"), Some(origin)), "{origin}");
        }
        assert!(refused(None, Some("http://localhost")));
        for (site, expected) in
            [("none", false), ("same-origin", false), ("same-site", true), ("cross-site", true)]
        {
            let mut headers = HeaderMap::new();
            headers.insert("sec-fetch-site", site.parse().unwrap());
            assert_eq!(refuse(&headers).is_some(), expected, "{site}");
        }
    }
}
