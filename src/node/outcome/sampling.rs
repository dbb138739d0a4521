//! Which connections that ended well are in the access log: a share of them, by whose they are.
//!
//! What the setting says and a connection's ends and trace go in; yes or no comes out. Nothing is rolled: the trace decides, as
//! OpenTelemetry's consistent sampling does, so both ends of a tunnel keep the same connections, and a share is part of any larger one.

use culvert_core::identity::SpiffeId;

const SCHEME: &str = "spiffe://";
/// How many bits of a trace id are random (W3C trace context, level 2).
const RANDOM_BITS: u32 = 56;

/// What `CULVERT_ACCESS_LOG_SAMPLING` says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sampling {
    /// The first that matches counts.
    rules: Vec<(Pattern, Share)>,
    /// Of all others.
    rest: Share,
}

/// A SPIFFE id, or how one begins, without the scheme.
#[derive(Debug, Clone, PartialEq)]
enum Pattern {
    Exact(String),
    Prefix(String),
}

/// Traces whose random part is below are kept.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Share(u64);

impl Default for Sampling {
    fn default() -> Self {
        Self { rules: Vec::new(), rest: Share::ALL }
    }
}

impl Sampling {
    /// Reads shares, separated by commas: `PATTERN=SHARE` for identities, a bare share for all others.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (mut rules, mut rest) = (Vec::new(), None);
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            match part.rsplit_once('=') {
                Some((pattern, share)) => {
                    rules.push((Pattern::parse(pattern.trim())?, Share::parse(share.trim())?))
                }
                None => {
                    let share = Share::parse(part)?;
                    if rest.replace(share).is_some() {
                        return Err(format!(
                            "`{part}` is a second share for all others; name identities, or leave one out"
                        ));
                    }
                }
            }
        }
        Ok(Self { rules, rest: rest.unwrap_or(Share::ALL) })
    }

    /// Whether a connection that ended well is logged.
    pub(crate) fn keeps(&self, ends: impl FnOnce() -> [Option<SpiffeId>; 2], trace: u128) -> bool {
        if self.rules.is_empty() {
            return self.rest.keeps(trace);
        }
        let ends = ends();
        let is_of = |pattern: &Pattern| ends.iter().flatten().any(|id| pattern.matches(id.principal()));
        let rule = self.rules.iter().find(|(pattern, _)| is_of(pattern));
        rule.map_or(self.rest, |(_, share)| *share).keeps(trace)
    }
}

impl Pattern {
    fn parse(text: &str) -> Result<Self, String> {
        let (id, open) = text.strip_suffix('*').map_or((text, false), |prefix| (prefix, true));
        let principal = id.strip_prefix(SCHEME).filter(|principal| !principal.contains('*'));
        match principal {
            Some(prefix) if open => Ok(Self::Prefix(prefix.to_owned())),
            Some(exact) if !exact.is_empty() => Ok(Self::Exact(exact.to_owned())),
            _ => Err(format!(
                "`{text}` is no identity; write it in full, like `spiffe://cluster.local/ns/batch/sa/job`, or its beginning and `*`"
            )),
        }
    }

    fn matches(&self, principal: &str) -> bool {
        match self {
            Self::Exact(exact) => principal == exact,
            Self::Prefix(prefix) => principal.starts_with(prefix.as_str()),
        }
    }
}

impl Share {
    const ALL: Self = Self(1 << RANDOM_BITS);

    fn parse(text: &str) -> Result<Self, String> {
        let share = text.parse::<f64>().ok().filter(|share| (0.0..=1.0).contains(share));
        let share =
            share.ok_or_else(|| format!("`{text}` is no share; use a number from 0 (none) to 1 (all)"))?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "from 0 to 2^56, which a double holds"
        )]
        Ok(Self((share * Self::ALL.0 as f64) as u64))
    }

    fn keeps(self, trace: u128) -> bool {
        let random = trace & u128::from(Self::ALL.0 - 1);
        random < u128::from(self.0)
    }
}

#[cfg(test)]
mod tests;
