//! Where telemetry goes: the variables every program with OpenTelemetry has.
//!
//! What they mean is the standard's to say; what makes no sense is an error here, because nobody would miss what is not sent.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderName, HeaderValue, Uri};

use super::{Environment, Error, value};
use crate::telemetry::{Config, Protocol, Sampler, Spans};
use crate::version::VERSION;

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";
const NAME: &str = "service.name";

/// Reads all of them; nothing if there is nowhere to send to, or nothing to be sent.
pub(super) fn read(env: &Environment, mark: Option<u32>) -> Result<Option<Config>, Error> {
    let Some(endpoint) = env.filled(ENDPOINT) else { return Ok(None) };
    let endpoint = parse_endpoint(&endpoint).map_err(|reason| {
        if endpoint.contains('@') { env.hidden(ENDPOINT, &reason) } else { env.invalid(ENDPOINT, &reason) }
    })?;
    let spans = Spans { sampler: sampler(env)?, queue: parse(env, "OTEL_BSP_MAX_QUEUE_SIZE", queue)? };
    let logs = parse(env, "OTEL_BLRP_MAX_QUEUE_SIZE", queue)?;
    let config = Config {
        endpoint,
        protocol: parse(env, "OTEL_EXPORTER_OTLP_PROTOCOL", protocol)?,
        headers: headers(&env.text(HEADERS)).map_err(|reason| env.hidden(HEADERS, &reason))?,
        timeout: parse(env, "OTEL_EXPORTER_OTLP_TIMEOUT", timeout)?,
        roots: env.filled("OTEL_EXPORTER_OTLP_CERTIFICATE").map(PathBuf::from),
        resource: resource(env)?,
        spans: parse(env, "OTEL_TRACES_EXPORTER", exporter)?.then_some(spans),
        logs: parse(env, "OTEL_LOGS_EXPORTER", exporter)?.then_some(logs),
        mark,
    };
    Ok(Some(config).filter(|config| config.spans.is_some() || config.logs.is_some()))
}

/// As the standard has it, an empty value is none.
fn parse<T>(
    env: &Environment,
    name: &'static str,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Result<T, Error> {
    parse(env.filled_or_default(name).trim()).map_err(|reason| env.invalid(name, &reason))
}

/// The URL, with a port.
fn parse_endpoint(text: &str) -> Result<Uri, String> {
    let wrong = || "write it as `http://HOST:PORT` or `https://HOST:PORT`".to_owned();
    let mut parts = text.trim().parse::<Uri>().map_err(|_| wrong())?.into_parts();
    let (Some(scheme), Some(authority)) = (&parts.scheme, &parts.authority) else { return Err(wrong()) };
    let port = match scheme {
        scheme if *scheme == Scheme::HTTP => 80,
        scheme if *scheme == Scheme::HTTPS => 443,
        _ => return Err(wrong()),
    };
    if authority.as_str().contains('@') {
        return Err(format!("credentials belong into {HEADERS}"));
    }
    if authority.port_u16().is_none() {
        // A port that is not a number is taken for no port.
        if authority.as_str() != authority.host() {
            return Err(wrong());
        }
        let with_port = format!("{authority}:{port}");
        parts.authority = Some(with_port.parse::<Authority>().map_err(|_| wrong())?);
    }
    if parts.path_and_query.as_ref().and_then(PathAndQuery::query).is_some() {
        return Err("it has a query, which has no meaning here".to_owned());
    }
    Uri::from_parts(parts).map_err(|_| wrong())
}

fn protocol(text: &str) -> Result<Protocol, String> {
    match text {
        "grpc" => Ok(Protocol::Grpc),
        "http/protobuf" => Ok(Protocol::Http),
        _ => Err("use `grpc` or `http/protobuf`".to_owned()),
    }
}

fn exporter(text: &str) -> Result<bool, String> {
    match text {
        "otlp" => Ok(true),
        "none" => Ok(false),
        _ => Err("use `otlp` or `none`".to_owned()),
    }
}

fn timeout(text: &str) -> Result<Duration, String> {
    match value::number::<u64>(text)? {
        millis @ 1..=600_000 => Ok(Duration::from_millis(millis)),
        _ => Err("must be between 1 and 600000 milliseconds".to_owned()),
    }
}

fn queue(text: &str) -> Result<usize, String> {
    match value::number::<usize>(text)? {
        room @ 1..=65_536 => Ok(room),
        _ => Err("must be between 1 and 65536".to_owned()),
    }
}

fn sampler(env: &Environment) -> Result<Sampler, Error> {
    let name = "OTEL_TRACES_SAMPLER";
    let text = env.filled_or_default(name);
    let (of_parents, own) = match text.trim().strip_prefix("parentbased_") {
        Some(own) => (true, own),
        None => (false, text.trim()),
    };
    let sampler = match own {
        "always_on" => Sampler::ALL,
        "always_off" => Sampler::NONE,
        "traceidratio" => Sampler::of(parse(env, "OTEL_TRACES_SAMPLER_ARG", ratio)?),
        _ => {
            let known =
                "use `always_on`, `always_off` or `traceidratio`, or one of them after `parentbased_`";
            return Err(env.invalid(name, known));
        }
    };
    Ok(if of_parents { sampler.or_as_parents_do() } else { sampler })
}

fn ratio(text: &str) -> Result<f64, String> {
    let ratio = text.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
    ratio.ok_or_else(|| "must be a number between 0 and 1".to_owned())
}

/// What this process is: what is said of it, and what is known besides.
fn resource(env: &Environment) -> Result<BTreeMap<String, String>, Error> {
    let name = "OTEL_RESOURCE_ATTRIBUTES";
    let said = pairs(&env.text(name)).map_err(|reason| env.invalid(name, &reason))?;
    let mut all = BTreeMap::from(
        [
            ("service.version", VERSION),
            ("telemetry.sdk.name", "culvert"),
            ("telemetry.sdk.language", "rust"),
            ("telemetry.sdk.version", VERSION),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned())),
    );
    for (key, name) in [
        ("k8s.node.name", "NODE_NAME"),
        ("k8s.pod.name", "POD_NAME"),
        ("k8s.namespace.name", "POD_NAMESPACE"),
    ] {
        all.extend(env.filled(name).map(|value| (key.to_owned(), value)));
    }
    all.extend(said);
    let named = env.filled("OTEL_SERVICE_NAME");
    if named.is_some() || !all.contains_key(NAME) {
        all.insert(NAME.to_owned(), env.filled_or_default("OTEL_SERVICE_NAME"));
    }
    Ok(all)
}

fn headers(text: &str) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
    let header = |(name, value): (String, String)| {
        let wrong = || format!("`{name}` cannot be a header, or not with that value");
        let mut value = HeaderValue::from_str(&value).map_err(|_| wrong())?;
        value.set_sensitive(true);
        Ok((HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?, value))
    };
    pairs(text)?.into_iter().map(header).collect()
}

/// `KEY=VALUE`, separated by commas; in values, what has a meaning is written as `%` and two digits.
fn pairs(text: &str) -> Result<Vec<(String, String)>, String> {
    let pair = |(nth, text): (usize, &str)| {
        let wrong = || format!("part {} is not `KEY=VALUE`", nth + 1);
        let (key, value) = text.split_once('=').ok_or_else(wrong)?;
        let key = Some(key.trim()).filter(|key| !key.is_empty()).ok_or_else(wrong)?;
        Ok((key.to_owned(), decoded(value.trim()).ok_or_else(wrong)?))
    };
    let parts = text.split(',').enumerate().filter(|(_, part)| !part.trim().is_empty());
    parts.map(pair).collect()
}

/// Undoes percent-encoding; nothing if that makes no text.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => digit(rest.next()?)? << 4 | digit(rest.next()?)?,
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

fn digit(byte: u8) -> Option<u8> {
    let digit = char::from(byte).to_digit(16)?;
    u8::try_from(digit).ok()
}

#[cfg(test)]
mod tests;
