//! AES-GCM as FIPS 140-3 approves it for TLS 1.3 (implementation guidance C.H, scenario 1): the module sees to it that the nonces of a key are those
//! of records in order, and refuses all others.

use std::cell::RefCell;

use aws_lc_rs::aead::{
    AES_128_GCM, AES_256_GCM, Aad, Nonce, TlsProtocolId, TlsRecordOpeningKey, TlsRecordSealingKey,
};
use culvert_core::tunnel::record::{Cipher, Forged, Secret, Suite, TAG};

pub(super) struct AesGcm {
    /// Counts the records.
    sealing: RefCell<TlsRecordSealingKey>,
    opening: TlsRecordOpeningKey,
}

impl AesGcm {
    pub(super) fn new(secret: &Secret) -> Self {
        const LENGTH: &str = "the key of a secret is as long as its suite says";
        let algorithm = match secret.suite() {
            Suite::Aes128Gcm => &AES_128_GCM,
            Suite::Aes256Gcm => &AES_256_GCM,
        };
        let mut sealing =
            TlsRecordSealingKey::new(algorithm, TlsProtocolId::TLS13, secret.key()).expect(LENGTH);
        // The module takes the first nonce it sees for that of record 0, and the handshake may have sent some records already. Then it is shown that
        // nonce first. What comes out of it is nothing, sealed, and goes nowhere.
        if let Some(nonce) = secret.spent_nonce() {
            let first = Nonce::assume_unique_for_key(nonce);
            let shown = sealing.seal_in_place_separate_tag(first, Aad::empty(), &mut []);
            let _ = shown.expect("nothing is shorter than what AES-GCM can seal");
        }
        let opening = TlsRecordOpeningKey::new(algorithm, TlsProtocolId::TLS13, secret.key()).expect(LENGTH);
        Self { sealing: RefCell::new(sealing), opening }
    }
}

impl Cipher for AesGcm {
    fn seal(&self, nonce: [u8; 12], associated: &[u8], text: &mut [u8]) -> [u8; TAG] {
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self.sealing.borrow_mut().seal_in_place_separate_tag(nonce, Aad::from(associated), text);
        let tag = tag.expect("records are numbered upwards, and shorter than what AES-GCM can seal");
        tag.as_ref().try_into().expect("a tag of AES-GCM has 16 octets")
    }

    fn open(&self, nonce: [u8; 12], associated: &[u8], text: &mut [u8]) -> Result<(), Forged> {
        let nonce = Nonce::assume_unique_for_key(nonce);
        match self.opening.open_in_place(nonce, Aad::from(associated), text) {
            Ok(_) => Ok(()),
            Err(_) => Err(Forged),
        }
    }
}
