//! OTLP by HTTP/1.1, which every collector speaks, whatever is in front of it.

use std::io;
use std::time::Duration;

use http::header::{CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use prost::Message as _;
use rustls_pki_types::ServerName;
use tokio_rustls::TlsConnector;

use super::{Config, Error, Signal, host, is_secure, tls};
use crate::control_plane::connect;
use crate::tasks::Tasks;
use crate::version::VERSION;

/// How much of an answer is read: it says how many were rejected, and why.
const MOST_ANSWER: usize = 64 * 1024;

/// A connection that is made when it is needed.
pub(in super::super) struct Client {
    endpoint: Uri,
    /// The path of the endpoint, without an end.
    base: String,
    headers: HeaderMap,
    timeout: Duration,
    secure: Option<(TlsConnector, ServerName<'static>)>,
    mark: Option<u32>,
    open: Option<Open>,
}

/// A connection, and what drives it.
struct Open {
    sender: SendRequest<Full<Bytes>>,
    _driver: Tasks,
}

impl Client {
    pub(super) fn new(config: &Config) -> Result<Self, tls::Error> {
        let secure = if is_secure(config) {
            let client = tls::client(tls::roots(config.roots.as_deref())?)?;
            let name = ServerName::try_from(host(config).to_owned()).map_err(tls::Error::Name)?;
            Some((TlsConnector::from(client), name))
        } else {
            None
        };
        let mut headers: HeaderMap = config.headers.iter().cloned().collect();
        let authority = config.endpoint.authority().map_or("", |authority| authority.as_str());
        // A part of a URL is one of a header, too.
        headers.extend(HeaderValue::from_str(authority).ok().map(|host| (HOST, host)));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        headers.extend(
            HeaderValue::from_str(&format!("culvert-node/{VERSION}")).ok().map(|it| (USER_AGENT, it)),
        );
        Ok(Self {
            endpoint: config.endpoint.clone(),
            base: config.endpoint.path().trim_end_matches('/').to_owned(),
            headers,
            timeout: config.timeout,
            secure,
            mark: config.mark,
            open: None,
        })
    }

    pub(super) async fn send<S: Signal>(&mut self, request: &S::Request) -> Result<S::Response, Error> {
        let timeout = self.timeout;
        // Of a connection that is in the middle of an answer nothing can be used.
        let mut open = self.open.take();
        let exchanged = async {
            let mut connection = match open.take().filter(|open| !open.sender.is_closed()) {
                Some(open) => open,
                None => self.connect().await.map_err(Error::Connect)?,
            };
            let answer = self.exchange::<S>(&mut connection, request).await?;
            Ok((connection, answer))
        };
        let (connection, answer) = match tokio::time::timeout(timeout, exchanged).await {
            Ok(exchanged) => exchanged?,
            Err(_) => return Err(Error::TimedOut(timeout)),
        };
        self.open = Some(connection);
        answer
    }

    /// The outer error is one of the connection.
    async fn exchange<S: Signal>(
        &self,
        connection: &mut Open,
        message: &S::Request,
    ) -> Result<Result<S::Response, Error>, Error> {
        let mut request = Request::new(Full::new(Bytes::from(message.encode_to_vec())));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = format!("{}{}", self.base, S::PATH).parse().map_err(|_| Error::Nonsense)?;
        *request.headers_mut() = self.headers.clone();
        connection.sender.ready().await.map_err(Error::Broken)?;
        let response = connection.sender.send_request(request).await.map_err(Error::Broken)?;
        let (status, after) = (response.status(), after(&response));
        let body = Limited::new(response.into_body(), MOST_ANSWER).collect().await;
        let body = body.map_err(|_| Error::Nonsense)?.to_bytes();
        Ok(if status.is_success() {
            S::Response::decode(body).map_err(|_| Error::Nonsense)
        } else {
            Err(Error::Http { status: status.as_u16(), after })
        })
    }

    async fn connect(&self) -> io::Result<Open> {
        let tcp = connect(self.endpoint.clone(), self.mark).await?;
        let driver = Tasks::default();
        let sender = match &self.secure {
            None => drive(tcp.into_inner(), &driver).await,
            Some((connector, name)) => {
                let tls = connector.connect(name.clone(), tcp.into_inner()).await?;
                drive(tls, &driver).await
            }
        };
        Ok(Open { sender: sender.map_err(io::Error::other)?, _driver: driver })
    }
}

async fn drive(
    stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    driver: &Tasks,
) -> hyper::Result<SendRequest<Full<Bytes>>> {
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    driver.spawn(async move {
        // Whoever waits for an answer is told.
        let _ = connection.await;
    });
    Ok(sender)
}

/// In how many seconds it wants to be asked again. A date is not understood, and not needed.
fn after(response: &Response<Incoming>) -> Option<Duration> {
    let text = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    text.trim().parse::<u32>().ok().map(|seconds| Duration::from_secs(seconds.into()))
}
