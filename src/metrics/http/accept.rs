//! What a client accepts (RFC 9110 §12.5): formats and encodings. What cannot be read of a header counts for nothing.

use crate::Format;

/// How the text is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Identity,
    Gzip,
}

impl Encoding {
    /// Its name, if it has to be told.
    pub(super) fn name(self) -> Option<&'static str> {
        match self {
            Self::Identity => None,
            Self::Gzip => Some("gzip"),
        }
    }
}

/// Chooses a format by all values of `Accept`: OpenMetrics for who knows it, whatever else is asked for.
pub(super) fn format<'h>(values: impl Iterator<Item = &'h str>) -> Format {
    let is_openmetrics =
        |(name, quality): (String, f32)| name == "application/openmetrics-text" && quality > 0.0;
    if elements(values).any(is_openmetrics) { Format::OpenMetrics } else { Format::Classic }
}

/// Chooses an encoding by all values of `Accept-Encoding`: what is preferred, and gzip when nothing is.
pub(super) fn encoding<'h>(values: impl Iterator<Item = &'h str>) -> Encoding {
    let (mut gzip, mut identity, mut others) = (None, None, None);
    for (name, quality) in elements(values) {
        match name.as_str() {
            "gzip" | "x-gzip" => gzip = Some(quality),
            "identity" => identity = Some(quality),
            "*" => others = Some(quality),
            _ => {}
        }
    }
    let gzip = gzip.or(others).unwrap_or(0.0);
    // Who says nothing of it takes it, and prefers what was asked for by name.
    if gzip > 0.0 && gzip >= identity.unwrap_or(0.0) { Encoding::Gzip } else { Encoding::Identity }
}

/// The elements of all values, in lower case, each with its weight.
fn elements<'h>(values: impl Iterator<Item = &'h str>) -> impl Iterator<Item = (String, f32)> {
    values.flat_map(|value| value.split(',')).map(|element| {
        let mut parts = element.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default().to_ascii_lowercase();
        let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        (name, weight.map_or(1.0, |weight| weight.trim().parse().unwrap_or(0.0)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openmetrics_is_for_those_who_know_it() {
        use Format::{Classic, OpenMetrics};
        let prometheus_3 = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        let with_protobuf = format!(
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7,{prometheus_3}"
        );
        for (accept, chosen) in [
            (&[][..], Classic),
            (&[""], Classic),
            (&["*/*"], Classic),
            (&["application/json"], Classic),
            (&["text/html,application/xhtml+xml,*/*;q=0.8"], Classic),
            (&["text/plain;version=0.0.4"], Classic),
            (&["application/openmetrics-text"], OpenMetrics),
            (&["application/json", "text/plain, application/openmetrics-text; version=1.0.0"], OpenMetrics),
            (&["APPLICATION/OpenMetrics-Text;charset=utf-8"], OpenMetrics),
            (&["application/openmetrics-text;q=0"], Classic),
            (
                &["application/openmetrics-text;q=0, application/openmetrics-text;version=1.0.0;q=0.1"],
                OpenMetrics,
            ),
            (&["application/openmetrics-text; q=nonsense"], Classic),
            (&["application/openmetrics-textual"], Classic),
            (
                &["application/openmetrics-text;version=0.0.1,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"],
                OpenMetrics,
            ),
            (&[prometheus_3], OpenMetrics),
            (&[&with_protobuf], OpenMetrics),
        ] {
            assert_eq!(format(accept.iter().copied()), chosen, "{accept:?}");
        }
    }

    #[test]
    fn the_text_is_compressed_for_who_wants_it() {
        use Encoding::{Gzip, Identity};
        for (accept, chosen) in [
            (&[][..], Identity),
            (&[""], Identity),
            (&["gzip"], Gzip),
            (&["GZIP;q=0.5"], Gzip),
            (&["deflate, gzip, br, zstd"], Gzip),
            (&["br, zstd"], Identity),
            (&["*"], Gzip),
            (&["*;q=0"], Identity),
            (&["*, gzip;q=0"], Identity),
            (&["identity"], Identity),
            (&["identity, gzip"], Gzip),
            (&["identity;q=1, gzip;q=0.5"], Identity),
            (&["zstd", "gzip;q=0.1"], Gzip),
            (&["gzip; q=x"], Identity),
        ] {
            assert_eq!(encoding(accept.iter().copied()), chosen, "{accept:?}");
        }
    }
}
