//! One HTTP/1.1 connection, and one question and answer at a time on it.

use bytes::Bytes;
use culvert_api::Problem;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::task::JoinSet;

use super::dial::Route;
use super::{Error, Query};

/// What one answer may be long. A page of a thousand connections has about one megabyte.
const LONGEST: usize = 64 << 20;
/// What a node is called to its face. It listens to its own host's names alone, so that no page in a browser can ask it by another;
/// which way leads to it is nothing to it.
const HOST: &str = "localhost";
/// What is shown of an error nobody has foreseen.
const SHOWN: usize = 300;

/// A connection, for as long as it is kept.
#[derive(Debug)]
pub(super) struct Session {
    sender: SendRequest<Empty<Bytes>>,
    /// Moves the bytes; ends with this value.
    _driver: JoinSet<()>,
}

impl Session {
    /// Makes one.
    pub(super) async fn begin(route: &Route) -> Result<Self, Error> {
        let stream = TokioIo::new(route.dial().await?);
        let (sender, connection) =
            http1::handshake(stream).await.map_err(|source| broken(route, "", source))?;
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            // Whoever waits for an answer is told by hyper.
            let _ = connection.await;
        });
        Ok(Self { sender, _driver: driver })
    }

    /// Asks.
    pub(super) async fn ask(&mut self, route: &Route, query: &Query) -> Result<Vec<u8>, Error> {
        let request = Request::get(query.target())
            .header(header::HOST, HOST)
            .header(header::ACCEPT, "application/json")
            .body(Empty::new())
            .expect("an encoded path and fixed headers make a valid request");
        let failed = |source| broken(route, query.path(), source);
        self.sender.ready().await.map_err(failed)?;
        let response = self.sender.send_request(request).await.map_err(failed)?;
        let status = response.status();
        let body = collected(response, route, query).await?;
        if status == StatusCode::OK {
            return Ok(body);
        }
        Err(refused(route, query, status, &body))
    }
}

async fn collected(response: Response<Incoming>, route: &Route, query: &Query) -> Result<Vec<u8>, Error> {
    let body = Limited::new(response.into_body(), LONGEST).collect().await;
    body.map(|body| body.to_bytes().to_vec()).map_err(|error| match error.downcast::<hyper::Error>() {
        Ok(source) => broken(route, query.path(), *source),
        Err(_) => {
            Error::TooLong { address: route.name().to_owned(), path: query.path().to_owned(), most: LONGEST }
        }
    })
}

fn broken(route: &Route, path: &str, source: hyper::Error) -> Error {
    Error::Broken { address: route.name().to_owned(), path: path.to_owned(), source }
}

fn refused(route: &Route, query: &Query, status: StatusCode, body: &[u8]) -> Error {
    let address = route.name().to_owned();
    match serde_json::from_slice::<Problem>(body) {
        Ok(Problem { title, detail, .. }) => {
            let detail = if detail.is_empty() { title } else { detail };
            Error::Refused { address, detail: crate::output::clean(&crate::output::cut(&detail, SHOWN)) }
        }
        Err(_) => Error::Foreign { address, path: query.path().to_owned(), status: status.as_u16() },
    }
}
