//! The `baggage` header: what the sender says about its own workload, for telemetry only.

use std::fmt;

use crate::workload::{Place, Template, Workload, WorkloadType};

/// What a peer says about its workload; empty texts were not said.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Baggage {
    /// The cluster.
    pub cluster: String,
    /// The namespace.
    pub namespace: String,
    /// The kind of object that owns the workload, known when its name is.
    pub workload_type: WorkloadType,
    /// The name of that object.
    pub workload_name: String,
    /// The canonical service name.
    pub canonical_name: String,
    /// The canonical revision.
    pub canonical_revision: String,
    /// The region.
    pub region: String,
    /// The zone.
    pub zone: String,
}

/// A `baggage` header that holds bytes other than visible ASCII, so that none of it is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the baggage header holds bytes other than visible ASCII; the peer must percent-encode them")]
pub struct NotText;

/// The longest value that is read: names of Kubernetes are not longer (RFC 1123 §2.1).
const MOST_VALUE: usize = 253;

impl Baggage {
    /// Describes `workload`.
    #[must_use]
    pub fn of(workload: &Workload) -> Self {
        Self {
            cluster: workload.cluster_id.to_string(),
            namespace: workload.namespace.to_string(),
            workload_type: workload.workload_type,
            workload_name: workload.workload_name.to_string(),
            canonical_name: workload.canonical_name.to_string(),
            canonical_revision: workload.canonical_revision.to_string(),
            region: workload.place.locality.region.to_string(),
            zone: workload.place.locality.zone.to_string(),
        }
    }

    /// Gives a workload as it is described here: what nobody can verify, and nothing else.
    #[must_use]
    pub fn workload(&self) -> Workload {
        let mut place = Place::default();
        place.locality.region = self.region.as_str().into();
        place.locality.zone = self.zone.as_str().into();
        let template = Template {
            cluster_id: self.cluster.as_str().into(),
            namespace: self.namespace.as_str().into(),
            workload_type: self.workload_type,
            workload_name: self.workload_name.as_str().into(),
            canonical_name: self.canonical_name.as_str().into(),
            canonical_revision: self.canonical_revision.as_str().into(),
            ..Template::default()
        };
        Workload { place: place.into(), template: template.into(), ..Workload::default() }
    }

    /// Parses the values of all `baggage` headers of a message, in order. Unknown keys are skipped, of two values for
    /// one key the last counts, blanks around keys and values and properties after `;` are dropped.
    ///
    /// # Errors
    /// When a value holds bytes other than visible ASCII.
    pub fn parse<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, NotText> {
        let mut baggage = Self::default();
        for value in values {
            let visible = |&byte: &u8| matches!(byte, b'\t' | b' '..=b'~');
            let text =
                std::str::from_utf8(value).ok().filter(|_| value.iter().all(visible)).ok_or(NotText)?;
            for pair in text.split(',') {
                let mut parts = pair.split('=');
                if let (Some(key), Some(value)) = (parts.next(), parts.next()) {
                    baggage.set(key.trim(), value.split(';').next().unwrap_or_default().trim());
                }
            }
        }
        Ok(baggage)
    }

    fn set(&mut self, key: &str, value: &str) {
        if value.len() > MOST_VALUE {
            return;
        }
        let field = match key {
            "k8s.cluster.name" => &mut self.cluster,
            "k8s.namespace.name" => &mut self.namespace,
            "service.name" => &mut self.canonical_name,
            "service.version" => &mut self.canonical_revision,
            "cloud.region" => &mut self.region,
            "cloud.availability_zone" => &mut self.zone,
            key => {
                let Some(kind) = WorkloadType::ALL.into_iter().find(|&kind| workload_key(kind) == key) else {
                    return;
                };
                self.workload_type = kind;
                &mut self.workload_name
            }
        };
        value.clone_into(field);
    }
}

impl fmt::Display for Baggage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs = [
            ("k8s.cluster.name", &self.cluster),
            ("k8s.namespace.name", &self.namespace),
            (workload_key(self.workload_type), &self.workload_name),
            ("service.name", &self.canonical_name),
            ("service.version", &self.canonical_revision),
            ("cloud.region", &self.region),
            ("cloud.availability_zone", &self.zone),
        ];
        let mut separator = "";
        for (key, value) in pairs {
            if sayable(value) {
                write!(f, "{separator}{key}={value}")?;
                separator = ",";
            }
        }
        Ok(())
    }
}

fn workload_key(kind: WorkloadType) -> &'static str {
    match kind {
        WorkloadType::Deployment => "k8s.deployment.name",
        WorkloadType::CronJob => "k8s.cronjob.name",
        WorkloadType::Pod => "k8s.pod.name",
        WorkloadType::Job => "k8s.job.name",
    }
}

/// Receivers do not undo percent-encoding, so a value that would need it is left out: better unknown than read as
/// another key.
fn sayable(value: &str) -> bool {
    let fine =
        |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b',' | b';' | b'=' | b'"' | b'\\' | b'%');
    !value.is_empty() && value.bytes().all(fine)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::{Locality, Place, Template};

    fn full() -> Workload {
        let template = Template {
            cluster_id: "Kubernetes".into(),
            namespace: "shop".into(),
            workload_name: "web".into(),
            workload_type: WorkloadType::CronJob,
            canonical_name: "shop-web".into(),
            canonical_revision: "v1".into(),
            ..Template::default()
        };
        let locality = Locality { region: "r".into(), zone: "z".into(), subzone: "s".into() };
        let place = Place { locality, ..Place::default() };
        Workload { template: template.into(), place: place.into(), ..Workload::default() }
    }

    const FULL: &str = "k8s.cluster.name=Kubernetes,k8s.namespace.name=shop,k8s.cronjob.name=web,\
                        service.name=shop-web,service.version=v1,cloud.region=r,cloud.availability_zone=z";

    fn check(headers: &[&str], expected: &str) {
        let parsed = Baggage::parse(headers.iter().map(|header| header.as_bytes())).unwrap();
        assert_eq!(parsed.to_string(), expected, "{headers:?}");
    }

    #[test]
    fn what_is_said_is_what_is_understood() {
        assert_eq!(Baggage::of(&full()).to_string(), FULL);
        check(&[FULL], FULL);
        check(&[], "");
        check(&[""], "");
        let partial = full().with(|it| {
            it.workload_name = "".into();
            it.canonical_name = "".into();
        });
        let said = Baggage::of(&partial).to_string();
        assert!(!said.contains("cronjob") && !said.contains("service.name"), "{said}");
        assert_eq!(Baggage::parse([said.as_bytes()]).unwrap().to_string(), said);
    }

    #[test]
    fn liberal_in_what_is_read() {
        check(&["k8s.namespace.name=a", "service.name=b,,x,=,y=z"], "k8s.namespace.name=a,service.name=b");
        check(&["k8s.namespace.name=a,k8s.namespace.name=b"], "k8s.namespace.name=b");
        check(&["k8s.namespace.name=a,k8s.namespace.name="], "");
        check(&["k8s.namespace.name=a=b"], "k8s.namespace.name=a");
        check(&[" k8s.namespace.name = a ;p=1 , cloud.region=\tr"], "k8s.namespace.name=a,cloud.region=r");
        check(&["K8S.namespace.name=a,k8s.replicaset.name=b"], "");
    }

    #[test]
    fn strict_in_what_is_said() {
        for value in ["a,service.name=evil", "a=b", "a b", "é", "a\r\nb"] {
            let odd = Workload::default().with(|it| it.namespace = value.into());
            assert_eq!(Baggage::of(&odd).to_string(), "", "{value}");
        }
    }

    #[test]
    fn bytes_that_are_not_text_invalidate_all() {
        for bytes in [&b"k8s.namespace.name=\x00"[..], b"\xff", "service.name=é".as_bytes()] {
            assert_eq!(Baggage::parse([b"cloud.region=r".as_slice(), bytes]), Err(NotText), "{bytes:?}");
        }
    }
}
