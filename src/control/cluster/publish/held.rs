//! What a ConfigMap says, whether that is right, and who has written it.

use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use super::super::api::AUTHOR;
use super::{KEY, LABEL};

/// What a ConfigMap says.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) namespace: String,
    roots: Option<String>,
    is_labelled: bool,
    /// Who has written the roots, as the API server notes it.
    pub(super) by: Option<String>,
}

impl Held {
    pub(super) fn read(map: ConfigMap) -> Option<Self> {
        let labels = map.metadata.labels.unwrap_or_default();
        Some(Self {
            namespace: map.metadata.namespace?,
            roots: map.data.and_then(|mut data| data.remove(KEY)),
            is_labelled: labels.get(LABEL.0).is_some_and(|value| value == LABEL.1),
            by: writer(&map.metadata.managed_fields.unwrap_or_default()),
        })
    }

    /// Tells whether it says what it has to: these certificates, in this order. How they are written down is everybody's own business.
    pub(super) fn says(&self, roots: &str) -> bool {
        let same = |held: &str| {
            held == roots || certificates(held).is_some_and(|it| certificates(roots) == Some(it))
        };
        self.is_labelled && self.roots.as_deref().is_some_and(same)
    }
}

fn certificates(pem: &str) -> Option<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().ok()
}

/// Who has written the roots last, rather somebody else than us; of a map without them, who has written anything.
fn writer(fields: &[ManagedFieldsEntry]) -> Option<String> {
    let has_roots = |entry: &ManagedFieldsEntry| {
        let fields = entry.fields_v1.as_ref();
        fields.is_some_and(|fields| {
            fields.0.get("f:data").is_some_and(|data| data.get(format!("f:{KEY}")).is_some())
        })
    };
    let is_other = |entry: &ManagedFieldsEntry| entry.manager.as_deref() != Some(AUTHOR);
    let last = fields.iter().max_by_key(|entry| (has_roots(entry), is_other(entry), entry.time.clone()))?;
    last.manager.clone()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn by(fields: Value) -> Option<String> {
        let map = json!({ "metadata": { "namespace": "shop", "managedFields": fields } });
        Held::read(serde_json::from_value(map).unwrap()).unwrap().by
    }

    fn entry(manager: &str, second: u8, fields: Value) -> Value {
        json!({ "manager": manager, "operation": "Update", "time": format!("2026-01-01T00:00:{second:02}Z"),
            "fieldsType": "FieldsV1", "fieldsV1": fields })
    }

    #[test]
    fn who_has_written_the_roots_is_known_from_the_fields() {
        let roots = || json!({ "f:data": { ".": {}, "f:root-cert.pem": {} } });
        let label = || json!({ "f:metadata": { "f:labels": { "f:istio.io/config": {} } } });
        let fields = json!([entry("pilot-discovery", 1, roots()), entry("kubectl-label", 9, label())]);
        assert_eq!(by(fields), Some("pilot-discovery".to_owned()));
        let fields = json!([entry("old", 1, roots()), entry("new", 2, roots()), entry(AUTHOR, 3, roots())]);
        assert_eq!(by(fields), Some("new".to_owned()), "somebody else rather than us");
        assert_eq!(by(json!([entry(AUTHOR, 3, roots())])), Some(AUTHOR.to_owned()), "a second installation");
        assert_eq!(by(json!([entry("kubectl-edit", 3, label())])), Some("kubectl-edit".to_owned()));
        assert_eq!(by(json!([])), None);
    }

    #[test]
    fn certificates_count_and_not_how_they_are_written() {
        let [one, two] = [b"one", b"two"].map(|der| {
            let text = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, der);
            format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
        });
        let held = |roots: &str, label: &str| {
            let map = json!({ "metadata": { "namespace": "shop", "labels": { LABEL.0: label } }, "data": { KEY: roots } });
            Held::read(serde_json::from_value(map).unwrap()).unwrap()
        };
        let both = format!("{one}{two}");
        assert!(held(&format!("# ours\n{one}\n\n{two}\n"), LABEL.1).says(&both));
        assert!(!held(&both, "false").says(&both), "without the label");
        for other in ["", "no certificate", &one, &format!("{two}{one}"), &format!("{both}{one}")] {
            assert!(!held(other, LABEL.1).says(&both), "{other}");
        }
    }
}
