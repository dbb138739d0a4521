//! OTLP by gRPC.

use std::time::Duration;

use http::HeaderMap;
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use tower::service_fn;

use super::{Config, Error, Signal, host, is_secure, tls};
use crate::control_plane::connect;

/// A channel that connects at the first request, and again when the connection was lost.
pub(in super::super) struct Client {
    channel: Channel,
    headers: MetadataMap,
    timeout: Duration,
}

impl Client {
    pub(super) fn new(config: &Config) -> Result<Self, tls::Error> {
        let mut endpoint = Endpoint::from(config.endpoint.clone());
        if is_secure(config) {
            let verifier = tls::verifier(tls::roots(config.roots.as_deref())?)?;
            let client = ClientTlsConfig::new().domain_name(host(config)).timeout(config.timeout);
            endpoint = endpoint.tls_config_with_verifier(client, verifier).map_err(tls::Error::Channel)?;
        }
        let mark = config.mark;
        let channel = endpoint.connect_with_connector_lazy(service_fn(move |url| connect(url, mark)));
        let headers = MetadataMap::from_headers(config.headers.iter().cloned().collect::<HeaderMap>());
        Ok(Self { channel, headers, timeout: config.timeout })
    }

    pub(super) async fn send<S: Signal>(&self, message: &S::Request) -> Result<S::Response, Error> {
        let mut request = tonic::Request::new(message.clone());
        *request.metadata_mut() = self.headers.clone();
        let call = S::call(self.channel.clone(), request);
        match tokio::time::timeout(self.timeout, call).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => {
                let message = culvert_process::exit::Chain(&status).to_string();
                Err(Error::Status { code: status.code(), message })
            }
            Err(_) => Err(Error::TimedOut(self.timeout)),
        }
    }
}
