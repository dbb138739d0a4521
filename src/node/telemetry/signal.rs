//! What spans and log records differ in, on their way to a collector.

use culvert_proto::otlp::common::{InstrumentationScope, Resource};
use culvert_proto::otlp::logs::logs_service_client::LogsServiceClient;
use culvert_proto::otlp::logs::{
    ExportLogsServiceRequest, ExportLogsServiceResponse, ResourceLogs, ScopeLogs,
};
use culvert_proto::otlp::trace::trace_service_client::TraceServiceClient;
use culvert_proto::otlp::trace::{
    ExportTraceServiceRequest, ExportTraceServiceResponse, ResourceSpans, ScopeSpans,
};
use prost::Message;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use super::attributes::{Clock, SCHEMA};
use super::log::Entry;
use super::{Ended, log, span};
use crate::version::VERSION;

/// One kind of telemetry.
pub(super) trait Signal {
    const NAME: &'static str;
    /// Where it goes by HTTP, below the endpoint.
    const PATH: &'static str;
    type Item: Send;
    type Request: Message + Clone + 'static;
    type Response: Message + Default;

    /// Puts together what is sent at once.
    fn request(items: Vec<Self::Item>, resource: &Resource) -> Self::Request;

    /// Asks a collector by gRPC.
    fn call(
        channel: Channel,
        request: Request<Self::Request>,
    ) -> impl Future<Output = Result<Response<Self::Response>, Status>>;

    /// How many of them a collector has not taken though it took the others, and why.
    fn rejected(response: Self::Response) -> Option<(i64, String)>;
}

fn scope() -> Option<InstrumentationScope> {
    Some(InstrumentationScope { name: "culvert-node".to_owned(), version: VERSION.to_owned() })
}

/// Spans.
pub(super) struct Traces;

impl Signal for Traces {
    const NAME: &'static str = "traces";
    const PATH: &'static str = "/v1/traces";
    type Item = Ended;
    type Request = ExportTraceServiceRequest;
    type Response = ExportTraceServiceResponse;

    fn request(items: Vec<Ended>, resource: &Resource) -> Self::Request {
        let clock = Clock::read();
        let spans = items.iter().map(|ended| span::of(ended, clock)).collect();
        ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans {
                resource: Some(resource.clone()),
                scope_spans: vec![ScopeSpans { scope: scope(), spans }],
                schema_url: SCHEMA.to_owned(),
            }],
        }
    }

    async fn call(
        channel: Channel,
        request: Request<Self::Request>,
    ) -> Result<Response<Self::Response>, Status> {
        TraceServiceClient::new(channel).export(request).await
    }

    fn rejected(response: Self::Response) -> Option<(i64, String)> {
        response.partial_success.map(|part| (part.rejected_spans, part.error_message))
    }
}

/// Log records.
pub(super) struct Logs;

impl Signal for Logs {
    const NAME: &'static str = "logs";
    const PATH: &'static str = "/v1/logs";
    type Item = Entry;
    type Request = ExportLogsServiceRequest;
    type Response = ExportLogsServiceResponse;

    fn request(items: Vec<Entry>, resource: &Resource) -> Self::Request {
        let clock = Clock::read();
        let log_records = items.into_iter().map(|entry| log::of(entry, clock)).collect();
        ExportLogsServiceRequest {
            resource_logs: vec![ResourceLogs {
                resource: Some(resource.clone()),
                scope_logs: vec![ScopeLogs { scope: scope(), log_records }],
                schema_url: SCHEMA.to_owned(),
            }],
        }
    }

    async fn call(
        channel: Channel,
        request: Request<Self::Request>,
    ) -> Result<Response<Self::Response>, Status> {
        LogsServiceClient::new(channel).export(request).await
    }

    fn rejected(response: Self::Response) -> Option<(i64, String)> {
        response.partial_success.map(|part| (part.rejected_log_records, part.error_message))
    }
}
