//! What this program is, as tools expect it.

use serde_json::{Value, json};

/// The version of Culvert.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The version as JSON; `istio` is what the installation says it is, which tools compare with their own.
pub(crate) fn shown(istio: &str) -> Value {
    let told = |text: Option<&'static str>| text.unwrap_or("unknown");
    json!({
        "version": VERSION,
        "gitRevision": told(option_env!("CULVERT_GIT_REVISION")),
        "rustVersion": env!("CULVERT_RUST_VERSION"),
        "buildProfile": if cfg!(debug_assertions) { "debug" } else { "release" },
        "buildStatus": told(option_env!("CULVERT_BUILD_STATUS")),
        "istioVersion": istio,
        "cryptoProvider": culvert_tls::fips::MODULE,
    })
}
