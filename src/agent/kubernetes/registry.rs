//! Asks the API server for one pod, when its watches may be behind.
//!
//! In go names, out comes whether there is such a pod. What is decided of it comes with the views.

use std::fmt;
use std::time::Duration;

use culvert_kubernetes::{Client, Error, Request, ask};
use culvert_process::exit::Chain;
use futures::future::BoxFuture;
use serde::de::IgnoredAny;

use crate::presence::{Presence, Registry, WITHIN};

/// The first try may meet a connection that is dead and does not say so, like that of a watch that is behind.
const TRIES: u32 = 2;

/// The API server as one that can be asked.
pub(crate) struct ApiServer {
    client: Client,
    /// How long an answer may take, all tries together.
    within: Duration,
}

impl ApiServer {
    pub(crate) fn new(client: Client) -> Self {
        Self { client, within: WITHIN }
    }

    async fn ask(&self, namespace: &str, name: &str) -> Presence {
        let path = format!("/api/v1/namespaces/{namespace}/pods/{name}");
        let mut said = Presence::Silence("it was not asked".to_owned());
        for _ in 0..TRIES {
            said = match ask::<IgnoredAny>(&self.client, Request::get(&path), self.within / TRIES).await {
                Ok(_) => return Presence::There,
                Err(error) => meant(&error),
            };
            if !matches!(said, Presence::Silence(_)) {
                break;
            }
        }
        said
    }
}

fn meant(error: &Error) -> Presence {
    let why = || Chain(error).to_string();
    match error.code() {
        Some(404) => Presence::Absent,
        // Somebody is there, and has no time or does not trust us. That may last, but it is not for us to decide then.
        Some(400..500) => Presence::Refused(why()),
        Some(_) | None => Presence::Silence(why()),
    }
}

impl Registry for ApiServer {
    fn presence<'a>(&'a self, namespace: &'a str, name: &'a str) -> BoxFuture<'a, Presence> {
        Box::pin(self.ask(namespace, name))
    }
}

impl fmt::Debug for ApiServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiServer")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use culvert_lab::api_server::{ApiServer as Server, Trouble};

    use super::*;
    use crate::kubernetes::rig::{ambient, client, running};

    fn cluster() -> (Server, ApiServer) {
        let server = Server::start().unwrap();
        server.create(ambient("shop")).unwrap();
        server.create(running("shop", "web", 1)).unwrap();
        let registry = ApiServer::new(client(&server));
        (server, registry)
    }

    #[tokio::test]
    async fn pods_that_are_there_are_told_from_those_that_are_not() {
        let (_server, registry) = cluster();
        assert_eq!(registry.presence("shop", "web").await, Presence::There);
        assert_eq!(registry.presence("shop", "cart").await, Presence::Absent);
        assert_eq!(registry.presence("bank", "web").await, Presence::Absent);
    }

    #[tokio::test]
    async fn who_does_not_answer_is_asked_again_and_not_for_ever() {
        let (server, registry) = cluster();
        let within = Duration::from_secs(1);
        let registry = ApiServer { within, ..registry };
        server.trouble(Trouble::silence().on("get", "pods").times(1));
        assert_eq!(registry.presence("shop", "web").await, Presence::There, "at the second try");
        server.trouble(Trouble::silence().on("get", "pods"));
        let start = Instant::now();
        assert!(matches!(registry.presence("shop", "web").await, Presence::Silence(_)));
        assert!(start.elapsed() < within + Duration::from_secs(1), "{:?}", start.elapsed());
        server.end_troubles();
        server.refuse_connections();
        assert!(matches!(registry.presence("shop", "web").await, Presence::Silence(_)));
    }

    #[tokio::test]
    async fn a_refusal_is_no_silence() {
        let (server, registry) = cluster();
        for (code, refused) in [(401, true), (403, true), (429, true), (500, false), (503, false)] {
            server.trouble(Trouble::status(code).on("get", "pods"));
            let said = registry.presence("shop", "web").await;
            let (Presence::Refused(why) | Presence::Silence(why)) = &said else { panic!("{said:?}") };
            assert_eq!(matches!(said, Presence::Refused(_)), refused, "{code}: {why}");
            assert!(why.contains(&code.to_string()), "{why}");
            server.end_troubles();
        }
    }
}
