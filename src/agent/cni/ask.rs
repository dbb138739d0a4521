//! One question to the agent over its socket.
//!
//! In go a path and a request, out comes an answer or why there is none, in time whatever the agent does. First somebody has to say hello:
//! an agent that does not is away; one that does and then is lost may have begun, so nothing is concluded from its silence.

use std::fmt;
use std::future::Future;
use std::path::Path;
use std::time::{Duration, Instant};

use culvert_cni::message::{Answer, HELLO, Refusal, Request};
use culvert_process::exit::Chain;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Method, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::runtime;
use tokio::time::timeout;

/// How long everything may take. The kubelet waits for minutes, but tries again soon.
const DEADLINE: Duration = Duration::from_secs(30);

/// How long a living agent may take to say so.
const HELLO_DEADLINE: Duration = Duration::from_secs(3);

/// How long it may take to hear that a pod has gone.
const FAREWELL_DEADLINE: Duration = Duration::from_secs(1);

/// Answers are short.
const MAX_ANSWER: usize = 64 << 10;

/// No answer that lets the pod go on. The texts are causes.
#[derive(Debug)]
pub(super) enum Failure {
    /// Nobody is there.
    Away(String),
    /// Somebody is there who does not know the cluster.
    NotReady(String),
    /// Somebody was there.
    Lost(String),
    /// The agent says not yet.
    Refused(String),
    /// The agent says never.
    Invalid(String),
}

impl Failure {
    /// Whether nobody has decided anything.
    pub(super) fn is_of_an_agent_that_is_away(&self) -> bool {
        match self {
            Self::Away(_) | Self::NotReady(_) => true,
            Self::Lost(_) | Self::Refused(_) | Self::Invalid(_) => false,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Away(why)
            | Self::NotReady(why)
            | Self::Lost(why)
            | Self::Refused(why)
            | Self::Invalid(why) => f.write_str(why),
        }
    }
}

/// Asks whether a pod may go on.
pub(super) fn ask(socket: &Path, what: &str, request: &Request, started: Instant) -> Result<Answer, Failure> {
    in_time(async {
        let hello = within(HELLO_DEADLINE, hello(socket)).await.map_err(Failure::Away)?;
        let rest = DEADLINE.saturating_sub(started.elapsed());
        within(rest, question(hello, what, request)).await.map_err(Failure::Lost)?
    })
}

/// Says that a pod is gone.
pub(super) fn tell(socket: &Path, request: &Request) -> Result<(), Failure> {
    in_time(async {
        let told = async { question(connect(socket).await?, "del", request).await };
        within(FAREWELL_DEADLINE, told).await.map_err(Failure::Away)?.map(|_| ())
    })
}

/// Runs on this thread alone: the plugin is started for each pod, and shall cost little.
fn in_time<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Failure::Away(format!("no runtime: {error}")))?.block_on(work)
}

async fn within<T>(limit: Duration, work: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    timeout(limit, work).await.unwrap_or_else(|_| Err(format!("no answer within {limit:?}")))
}

type Connection = SendRequest<Full<Bytes>>;

async fn connect(socket: &Path) -> Result<Connection, String> {
    let stream =
        UnixStream::connect(socket).await.map_err(|error| format!("{}: {error}", socket.display()))?;
    let (sender, connection) =
        handshake(TokioIo::new(stream)).await.map_err(|error| Chain(&error).to_string())?;
    // Ends with the runtime; what goes wrong is seen at the sender.
    tokio::spawn(connection);
    Ok(sender)
}

async fn hello(socket: &Path) -> Result<Connection, String> {
    let mut connection = connect(socket).await?;
    match send(&mut connection, Method::GET, HELLO, Bytes::new()).await? {
        (StatusCode::OK, _) => {}
        (status, _) => return Err(format!("{}: somebody else listens: {status}", socket.display())),
    }
    connection.ready().await.map_err(|error| Chain(&error).to_string())?;
    Ok(connection)
}

/// `Err` is a failure to get an answer, `Ok(Err(_))` an answer that is none.
async fn question(
    mut connection: Connection,
    what: &str,
    request: &Request,
) -> Result<Result<Answer, Failure>, String> {
    let body = serde_json::to_vec(request).map_err(|error| error.to_string())?;
    let path = format!("/v1/cni/{what}");
    let (status, body) = send(&mut connection, Method::POST, &path, body.into()).await?;
    if status == StatusCode::OK {
        return parse(status, &body).map(Ok);
    }
    let Refusal { reason, ready } = parse(status, &body)?;
    Ok(Err(match status {
        StatusCode::BAD_REQUEST => Failure::Invalid(reason),
        _ if ready => Failure::Refused(reason),
        _ => Failure::NotReady(reason),
    }))
}

async fn send(
    connection: &mut Connection,
    method: Method,
    path: &str,
    body: Bytes,
) -> Result<(StatusCode, Bytes), String> {
    let request = hyper::Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, "agent")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(body))
        .map_err(|error| error.to_string())?;
    let response = connection.send_request(request).await.map_err(|error| Chain(&error).to_string())?;
    let (head, body) = response.into_parts();
    let body = Limited::new(body, MAX_ANSWER).collect().await.map_err(|error| error.to_string())?;
    Ok((head.status, body.to_bytes()))
}

fn parse<T: DeserializeOwned>(status: StatusCode, body: &[u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| format!("its answer ({status}) makes no sense: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Patience;
    use crate::presence;

    #[test]
    fn the_agent_says_why_not_before_the_plugin_has_given_up() {
        let Patience { find, enrol } = Patience::default();
        let room = Duration::from_secs(2);
        assert!(find + presence::WITHIN + enrol + room <= DEADLINE);
    }
}
