//! AES-GCM by aws-lc: a secret goes in, a [`Cipher`] comes out. Nonces are the record layer's affair.

#[cfg(not(feature = "fips"))]
mod plain;
#[cfg(feature = "fips")]
mod tls13;

use culvert_core::tunnel::record::{Cipher, Secret};

/// The cipher for a secret.
pub(crate) fn cipher(secret: &Secret) -> Box<dyn Cipher> {
    #[cfg(not(feature = "fips"))]
    let cipher = plain::AesGcm::new(secret);
    #[cfg(feature = "fips")]
    let cipher = tls13::AesGcm::new(secret);
    Box::new(cipher)
}
