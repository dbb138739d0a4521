//! Hostnames.

use std::sync::Arc;

use crate::reading::Reading;

/// Tells whether a name stands for all names below another one.
pub(super) fn is_wildcard(host: &str) -> bool {
    host.starts_with("*.")
}

/// Reads the name of a host; names are compared in small letters.
pub(super) fn name(reading: &Reading<'_>) -> Option<Arc<str>> {
    let text = reading.text()?;
    if is_name(text) {
        return Some(text.to_ascii_lowercase().into());
    }
    reading.note(format!("`{text}` is no hostname"));
    None
}

/// Reads the name of a host, or of all below one (`*.example.com`).
pub(super) fn name_or_wildcard(reading: &Reading<'_>) -> Option<Arc<str>> {
    match reading.text()?.strip_prefix("*.") {
        Some(parent) if is_name(parent) => Some(format!("*.{}", parent.to_ascii_lowercase()).into()),
        Some(_) | None => name(reading),
    }
}

fn is_name(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let label = |label: &str| !label.is_empty() && label.len() <= 63 && label.chars().all(plain);
    text.len() <= 253 && text.split('.').all(label)
}
