use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyUsagePurpose};

use super::*;

/// An authority and its key.
type Made = CertifiedIssuer<'static, KeyPair>;

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

fn key() -> KeyPair {
    KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap()
}

fn root(name: &str) -> Made {
    CertifiedIssuer::self_signed(params(name), key()).unwrap()
}

fn below(name: &str, issuer: &Made) -> Made {
    CertifiedIssuer::signed_by(params(name), key(), issuer).unwrap()
}

fn open(chain: &[&Made], key: &KeyPair, roots: &[&Made]) -> Result<Root, Error> {
    let text = |all: &[&Made]| all.iter().map(|it| it.pem()).collect::<String>();
    let (certificates, roots) = (text(chain), text(roots));
    let key = key.serialize_pem();
    Root::plugged(&Plugged { certificates: &certificates, key: &key, roots: &roots }, SystemTime::now())
}

fn shown(root: &Root) -> Vec<String> {
    root.between().iter().map(|it| it.pem.replace("\r\n", "\n")).collect()
}

fn pems(all: &[&Made]) -> Vec<String> {
    all.iter().map(|it| it.pem().replace("\r\n", "\n")).collect()
}

#[test]
fn a_root_shows_nothing_and_what_is_below_one_shows_the_way() {
    let (top, other) = (root("top"), root("other"));
    let (middle, signer) = {
        let middle = below("middle", &top);
        let signer = below("signer", &middle);
        (middle, signer)
    };
    let alone = open(&[&top], top.key(), &[&other, &top]).unwrap();
    assert_eq!(shown(&alone), Vec::<String>::new());
    assert_eq!(alone.bundle(), other.pem() + &top.pem());
    for chain in [&[&signer, &middle][..], &[&signer, &middle, &top]] {
        assert_eq!(shown(&open(chain, signer.key(), &[&top]).unwrap()), pems(&[&signer, &middle]));
    }
    // Whoever trusts the one in the middle need not be shown it.
    assert_eq!(shown(&open(&[&signer, &middle], signer.key(), &[&middle]).unwrap()), pems(&[&signer]));
}

#[test]
fn what_nobody_would_trust_is_refused() {
    let (top, other) = (root("top"), root("other"));
    let (middle, twin) = (below("middle", &top), root("top"));
    let signer = below("signer", &middle);
    let refused = |chain: &[&Made], key: &KeyPair, roots: &[&Made]| open(chain, key, roots).unwrap_err();
    assert!(matches!(refused(&[&signer, &middle], signer.key(), &[&other]), Error::Apart));
    assert!(matches!(refused(&[&signer], signer.key(), &[&top]), Error::Apart), "the middle is missing");
    assert!(matches!(refused(&[&signer, &middle], signer.key(), &[&twin]), Error::Apart), "only named alike");
    assert!(matches!(refused(&[&signer, &middle], middle.key(), &[&top]), Error::Mismatch));
}

#[test]
fn what_is_no_authority_is_refused() {
    let top = root("top");
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::ExplicitNoCa;
    let leaf = CertifiedIssuer::signed_by(params, key(), &top).unwrap();
    assert!(matches!(open(&[&leaf], leaf.key(), &[&top]), Err(Error::NotAuthority(_))));
    assert!(matches!(open(&[], top.key(), &[&top]), Err(Error::NoCertificates(_))));
    assert!(matches!(open(&[&top], top.key(), &[]), Err(Error::NoCertificates(_))));
}

#[test]
fn nothing_signed_outlives_the_way_to_the_root() {
    let top = root("top");
    let mut short = params("middle");
    short.not_after = (SystemTime::now() + Duration::from_secs(3600)).into();
    let middle = CertifiedIssuer::signed_by(short, key(), &top).unwrap();
    let signer = below("signer", &middle);
    let opened = open(&[&signer, &middle], signer.key(), &[&top]).unwrap();
    assert!(opened.validity().remaining(SystemTime::now()) <= Duration::from_secs(3600));
    let mut over = params("middle");
    over.not_after = (SystemTime::now() - Duration::from_secs(1)).into();
    let middle = CertifiedIssuer::signed_by(over, key(), &top).unwrap();
    let signer = below("signer", &middle);
    assert!(matches!(open(&[&signer, &middle], signer.key(), &[&top]), Err(Error::Expired)));
}

/// As other authorities write their keys.
#[test]
fn keys_come_in_several_forms() {
    for form in [
        &["genrsa", "-traditional", "2048"][..],
        &["genrsa", "2048"],
        &["ecparam", "-name", "prime256v1", "-genkey", "-noout"],
    ] {
        let key = std::process::Command::new("openssl").args(form).output().unwrap();
        let key = String::from_utf8(key.stdout).unwrap();
        let pair = KeyPair::from_pem(&key).unwrap();
        let made = CertifiedIssuer::self_signed(params("top"), pair).unwrap();
        let pem = made.pem();
        let plugged = Plugged { certificates: &pem, key: &key, roots: &pem };
        Root::plugged(&plugged, SystemTime::now()).unwrap();
    }
}
