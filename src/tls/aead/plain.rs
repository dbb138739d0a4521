//! AES-GCM that takes any nonce.

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use culvert_core::tunnel::record::{Cipher, Forged, Secret, Suite, TAG};

pub(super) struct AesGcm(LessSafeKey);

impl AesGcm {
    pub(super) fn new(secret: &Secret) -> Self {
        let algorithm = match secret.suite() {
            Suite::Aes128Gcm => &AES_128_GCM,
            Suite::Aes256Gcm => &AES_256_GCM,
        };
        let key = UnboundKey::new(algorithm, secret.key())
            .expect("the key of a secret is as long as its suite says");
        Self(LessSafeKey::new(key))
    }
}

impl Cipher for AesGcm {
    fn seal(&self, nonce: [u8; 12], associated: &[u8], text: &mut [u8]) -> [u8; TAG] {
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self.0.seal_in_place_separate_tag(nonce, Aad::from(associated), text);
        let tag = tag.expect("a record is shorter than what AES-GCM can seal");
        tag.as_ref().try_into().expect("a tag of AES-GCM has 16 octets")
    }

    fn open(&self, nonce: [u8; 12], associated: &[u8], text: &mut [u8]) -> Result<(), Forged> {
        let nonce = Nonce::assume_unique_for_key(nonce);
        match self.0.open_in_place(nonce, Aad::from(associated), text) {
            Ok(_) => Ok(()),
            Err(_) => Err(Forged),
        }
    }
}
