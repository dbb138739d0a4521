//! The authority of a cluster: one that somebody has plugged in (Secret `cacerts`), or else our own root (Secret `istio-ca-secret`).
//!
//! In goes what the API server has; out comes the root that signs, the newest that can be used. Our own is made when there is neither,
//! by whichever replica is first. What is wrong with a Secret is said, and the root before it stays. Names and keys are those that other
//! programs know: cert-manager writes `tls.crt`, `tls.key` and `ca.crt`, people and Istio the others.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use culvert_kubernetes::Client;
use culvert_process::exit::Chain;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::api::{Api, Written};
use super::publish::MAP;
use crate::root::leaves::Leaves;
use crate::root::plugged;
use crate::root::texts::{Part, Texts};
use crate::root::{self, Plugged, Root};

pub(super) const PLUGGED: &str = "cacerts";
pub(super) const OWN: &str = "istio-ca-secret";

/// What our own is, for those who look for it by type.
const TYPE: &str = "istio.io/ca-root";

/// What a Secret holds.
pub(super) type Data = BTreeMap<String, ByteString>;

/// Why a Secret is not used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(transparent)]
    Api(#[from] culvert_kubernetes::Error),
    #[error("the Secret {name} lacks {missing}, or it is no text; it needs {needs}")]
    Lacks { name: &'static str, missing: &'static str, needs: &'static str },
    #[error("the authority in the Secret {PLUGGED} cannot be used")]
    Plugged(#[from] plugged::Error),
    #[error("the root in the Secret {OWN} cannot be used")]
    Own(#[from] root::Error),
    #[error(
        "who trusts what is trusted now would not trust what it signs, or would be trusted no more: first add the new root to those that are trusted \
         (root-cert.pem), then replace certificate and key, and take the old root away when every certificate has been renewed; to begin a new mesh, end \
         all replicas and delete the ConfigMap {MAP} in this namespace; if another control plane has written that ConfigMap, end it: the replica that \
         leads puts the ConfigMap right, and if none leads, delete it"
    )]
    Apart,
    #[error(
        "the Secret {OWN} is gone, and with it the root that is trusted (ConfigMap {MAP}); restore it from a backup; or delete the ConfigMap in this \
         namespace to begin a new mesh, in which every certificate has to be issued anew; if another control plane writes that ConfigMap, it has the root"
    )]
    Lost,
}

/// The keys of an authority that was plugged in, in the two forms there are.
const FORMS: [Form; 2] = [
    Form {
        certificate: "ca-cert.pem",
        chain: Some("cert-chain.pem"),
        key: "ca-key.pem",
        roots: "root-cert.pem",
    },
    Form { certificate: "tls.crt", chain: None, key: "tls.key", roots: "ca.crt" },
];

const NEEDS: &str =
    "ca-cert.pem, ca-key.pem, root-cert.pem (and cert-chain.pem), or tls.crt, tls.key and ca.crt";

struct Form {
    certificate: &'static str,
    chain: Option<&'static str>,
    key: &'static str,
    roots: &'static str,
}

/// Reads an authority that was plugged in.
pub(super) fn plugged_in(data: &Data, now: SystemTime) -> Result<Root, Error> {
    let form = FORMS.iter().find(|form| data.contains_key(form.certificate)).unwrap_or(&FORMS[0]);
    let needed = |key| {
        let lacks = Error::Lacks { name: PLUGGED, missing: key, needs: NEEDS };
        text(data, key).ok_or(lacks)
    };
    let chain = form.chain.and_then(|key| text(data, key)).unwrap_or_default();
    let certificates = format!("{}\n{chain}", needed(form.certificate)?);
    let plugged = Plugged { certificates: &certificates, key: needed(form.key)?, roots: needed(form.roots)? };
    Ok(Root::plugged(&plugged, now)?)
}

/// Reads our own root.
pub(super) fn own(data: &Data, now: SystemTime) -> Result<Root, Error> {
    Ok(Root::of(&texts(data), now).map_err(at)?)
}

/// The texts of our own root.
pub(super) fn texts(data: &Data) -> Texts {
    let text = |key| text(data, key).map(str::to_owned);
    Texts {
        // Others write the certificate that signs, and nothing else that is trusted.
        certificate: text(name(Part::Certificate)).or_else(|| text(SIGNS)),
        key: text(name(Part::Key)),
        next_key: text(name(Part::NextKey)),
        cross: text(name(Part::Cross)),
    }
}

/// The certificate that signs, which others read.
const SIGNS: &str = "ca-cert.pem";

/// What a text is called in the Secret.
fn name(part: Part) -> &'static str {
    match part {
        Part::Certificate => "root-cert.pem",
        Part::Key => "ca-key.pem",
        Part::NextKey => "next-key.pem",
        Part::Cross => "cross-cert.pem",
    }
}

/// Says where a problem with our own root is.
pub(super) fn at(problem: root::texts::Problem) -> root::Error {
    root::Error::of(problem, |part| format!("{} of the Secret {OWN}", name(part)))
}

/// Writes texts into what a Secret holds; what is not ours stays.
pub(super) fn write(texts: &Texts, data: &mut Data) {
    let signs = texts.certificate.as_deref().map(root::texts::first_certificate);
    let all = [
        (SIGNS, signs),
        (name(Part::Certificate), texts.certificate.as_deref()),
        (name(Part::Key), texts.key.as_deref()),
        (name(Part::NextKey), texts.next_key.as_deref()),
        (name(Part::Cross), texts.cross.as_deref()),
    ];
    for (key, text) in all {
        match text {
            Some(text) => {
                data.insert(key.to_owned(), ByteString(text.as_bytes().to_vec()));
            }
            None => {
                data.remove(key);
            }
        }
    }
}

/// Makes a root of our own, unless somebody else has.
pub(super) async fn make(secrets: &Api, now: SystemTime) -> Result<Written, Error> {
    let (mut data, mut annotations, mut leaves) = (Data::new(), BTreeMap::new(), Leaves::default());
    let texts = Texts::new(now).map_err(at)?;
    write(&texts, &mut data);
    leaves.follow(&[], &texts.trusted().map_err(at)?, now);
    super::leaves::write(&leaves, &mut annotations);
    let secret = Secret {
        metadata: ObjectMeta {
            name: Some(OWN.to_owned()),
            annotations: Some(annotations),
            ..ObjectMeta::default()
        },
        data: Some(data),
        type_: Some(TYPE.to_owned()),
        ..Secret::default()
    };
    Ok(secrets.create(&secret).await?)
}

/// The Secrets of a namespace.
pub(super) fn secrets(client: &Client, namespace: &str) -> Api {
    Api::at(client, format!("/api/v1/namespaces/{namespace}/secrets"))
}

/// What a root has to fit to.
#[derive(Debug, Clone, Copy)]
pub(super) enum Before<'a> {
    /// Nothing: the mesh begins.
    Nothing,
    /// What is trusted, as it is published.
    Published(&'a str),
    /// The one that signs.
    Signing(&'a Root),
}

/// The root to sign with from now on, or nothing if it cannot be the one that was found.
pub(super) fn next(found: Result<Root, Error>, before: Before<'_>) -> Option<Arc<Root>> {
    let now = SystemTime::now();
    let judged = found.and_then(|root| {
        let fits = match before {
            Before::Nothing => true,
            Before::Published(roots) => root.is_trusted_by(roots, now),
            Before::Signing(before) => root.may_follow(before, now),
        };
        if fits { Ok(root) } else { Err(Error::Apart) }
    });
    match judged {
        Ok(root) => Some(Arc::new(root)),
        Err(error) => {
            tracing::error!(error = %Chain(&error), "the authority of the cluster is not taken, what was there before stays");
            None
        }
    }
}

fn text<'a>(data: &'a Data, key: &str) -> Option<&'a str> {
    let text = std::str::from_utf8(&data.get(key)?.0).ok()?;
    (!text.trim().is_empty()).then_some(text)
}

#[cfg(test)]
mod tests;
