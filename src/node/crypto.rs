//! The cryptography of this process: one provider for tunnels and control plane alike, chosen once at start.

use std::sync::{Arc, OnceLock};

use culvert_tls::fips;
use rustls::crypto::aws_lc_rs::{self, cipher_suite, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};

/// Which key exchanges are acceptable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Policy {
    /// Hybrid post-quantum first, then the classic ones.
    #[default]
    Default,
    /// Hybrid post-quantum only (`COMPLIANCE_POLICY=pqc`): a peer that cannot is refused.
    PostQuantum,
}

static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();

static ALL_GROUPS: [&dyn SupportedKxGroup; 4] =
    [kx_group::X25519MLKEM768, kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1];

/// Chooses the provider, before anything uses it; it is also what libraries use by default.
pub(crate) fn choose(policy: Policy) {
    let provider = PROVIDER.get_or_init(|| Arc::new(make(policy)));
    // Fails when a default was installed before; there is only this one to install.
    let _ = CryptoProvider::install_default((**provider).clone());
}

/// The provider.
pub(crate) fn provider() -> &'static Arc<CryptoProvider> {
    PROVIDER.get_or_init(|| Arc::new(make(Policy::default())))
}

/// The suites of TLS 1.3 first, then those that count if TLS 1.2 is on.
fn make(policy: Policy) -> CryptoProvider {
    let cipher_suites = vec![
        cipher_suite::TLS13_AES_256_GCM_SHA384,
        cipher_suite::TLS13_AES_128_GCM_SHA256,
        cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    ];
    let kx_groups = match policy {
        Policy::Default => ALL_GROUPS.to_vec(),
        Policy::PostQuantum => ALL_GROUPS[..1].to_vec(),
    };
    let mut provider = CryptoProvider { cipher_suites, kx_groups, ..aws_lc_rs::default_provider() };
    if fips::BUILT {
        provider.cipher_suites.retain(|suite| suite.fips() && suite.version() == &rustls::version::TLS13);
        provider.kx_groups.retain(|group| group.fips());
    }
    provider
}

#[cfg(test)]
mod tests {
    use rustls::NamedGroup;

    use super::*;

    #[test]
    fn post_quantum_is_offered_first_and_can_be_required() {
        let groups = |policy| make(policy).kx_groups.iter().map(|group| group.name()).collect::<Vec<_>>();
        assert_eq!(groups(Policy::Default)[0], NamedGroup::X25519MLKEM768);
        // X25519 alone is not approved.
        assert_eq!(groups(Policy::Default).len(), if fips::BUILT { 3 } else { 4 });
        assert_eq!(groups(Policy::PostQuantum), [NamedGroup::X25519MLKEM768]);
    }

    #[test]
    fn where_cryptography_is_validated_nothing_else_is_offered() {
        for policy in [Policy::Default, Policy::PostQuantum] {
            assert_eq!(make(policy).fips(), fips::BUILT);
            assert_eq!(make(policy).cipher_suites.len(), if fips::BUILT { 2 } else { 6 });
        }
    }
}
