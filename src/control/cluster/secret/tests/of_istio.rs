//! The root that Istio's authority has made for itself (RSA, 2048 bits, its key in the form of PKCS#1) goes on where this control plane
//! takes its place: it signs, who trusts it trusts what it signs, and it can be replaced by one of ours.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, KeyPair, KeyUsagePurpose,
    PublicKeyData as _, RsaKeySize, SubjectPublicKeyInfo,
};
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, UnixTime};
use tokio::sync::watch;

use super::*;
use crate::authority::Authority;
use crate::root::leaves::Leaves;
use crate::root::rotation::Haste;

const WEB: &str = "spiffe://cluster.local/ns/default/sa/web";

/// What is before the key in PKCS#8, for RSA with 2048 bits: lengths, a version, and that it is RSA.
const WRAPPING: usize = 26;

#[test]
fn the_root_of_istio_signs_here() {
    let data = made_by_istio();
    let root = own(&data, now()).unwrap();
    assert_eq!(root.bundle().as_bytes(), data[SIGNS].0);
    assert!(next(own(&data, now()), Before::Published(root.bundle())).is_some(), "it is the one before");
    assert!(is_trusted(&root_signs(root), &data[SIGNS].0));
    let other = own(&made_by_istio(), now()).unwrap();
    assert!(!is_trusted(&root_signs(other), &data[SIGNS].0), "another one is not");
}

#[test]
fn the_same_plugged_in_signs_here() {
    let own = made_by_istio();
    let data = data(&[
        ("ca-cert.pem", &own[SIGNS]),
        ("ca-key.pem", &own["ca-key.pem"]),
        ("root-cert.pem", &own[SIGNS]),
    ]);
    assert!(is_trusted(&root_signs(plugged_in(&data, now()).unwrap()), &own[SIGNS].0));
}

#[test]
fn it_can_be_replaced_by_one_of_ours() {
    let mut data = made_by_istio();
    let old = data[SIGNS].0.clone();
    let mut before = own(&data, now()).unwrap();
    for (step, old_is_enough) in [(Step::Prepare, true), (Step::Activate, true), (Step::Finish, false)] {
        let texts = rotation::after(&texts(&data), step, (&Leaves::default(), Haste::Insist), now())
            .unwrap_or_default()
            .pop()
            .unwrap();
        write(&texts, &mut data);
        let root = own(&data, now()).unwrap();
        assert!(root.may_follow(&before, now()), "{step:?}");
        let (bundle, chain) = (root.bundle().to_owned(), root_signs(root));
        assert!(is_trusted(&chain, bundle.as_bytes()), "{step:?}");
        assert_eq!(is_trusted(&chain, &old), old_is_enough, "{step:?}");
        before = own(&data, now()).unwrap();
    }
}

/// The Secret as Istio writes it: keys that are not used are there, and empty.
fn made_by_istio() -> Data {
    let key = KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "cluster.local");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let certificate = params.self_signed(&key).unwrap().pem();
    let wrapped = key.serialize_der();
    let text = pem("RSA PRIVATE KEY", &wrapped[WRAPPING..]);
    assert!(wrapped[WRAPPING..].starts_with(&[0x30, 0x82]), "a sequence: {:x?}", &wrapped[..32]);
    let all = [
        ("ca-cert.pem", certificate),
        ("ca-key.pem", text),
        ("cert-chain.pem", String::new()),
        ("key.pem", String::new()),
        ("root-cert.pem", String::new()),
    ];
    all.into_iter().map(|(name, text)| (name.to_owned(), ByteString(text.into_bytes()))).collect()
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// What a workload is given, and shows.
fn root_signs(root: Root) -> Vec<CertificateDer<'static>> {
    let authority = Authority::new(watch::channel(Arc::new(root)).1);
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let key = SubjectPublicKeyInfo::from_der(&key.subject_public_key_info()).unwrap();
    let life = Duration::from_secs(3600);
    authority.sign_workload(&WEB.parse().unwrap(), &key, life, now()).unwrap().chain_der()
}

/// Whether who trusts these roots alone lets in who shows this.
fn is_trusted(chain: &[CertificateDer<'static>], roots: &[u8]) -> bool {
    let mut store = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(roots) {
        store.add(root.unwrap()).unwrap();
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(store), provider).build().unwrap();
    verifier.verify_client_cert(&chain[0], &chain[1..], UnixTime::now()).is_ok()
}
