//! SPIFFE identities of workloads: `spiffe://<trust domain>/ns/<namespace>/sa/<service account>`.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Who a workload is. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpiffeId(Arc<Parts>);

#[derive(Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Parts {
    /// All of it but the scheme.
    principal: Box<str>,
    /// How long the trust domain in it is.
    trust_domain: usize,
    /// How long the namespace in it is.
    namespace: usize,
}

const SCHEME: &str = "spiffe://";
const NAMESPACE: &str = "/ns/";
const SERVICE_ACCOUNT: &str = "/sa/";

/// A text that is not the SPIFFE id of a workload.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a workload identity; it must read spiffe://<trust domain>/ns/<namespace>/sa/<service account>"
)]
pub struct NotAnIdentity(pub String);

impl SpiffeId {
    /// Puts an identity together.
    ///
    /// # Errors
    /// When a part is empty or holds a `/` or a control character, so that the text would not parse back to the same
    /// three parts.
    pub fn new(trust_domain: &str, namespace: &str, service_account: &str) -> Result<Self, NotAnIdentity> {
        let fine = |part: &str| !part.is_empty() && !part.contains(|c: char| c == '/' || c.is_control());
        if ![trust_domain, namespace, service_account].into_iter().all(fine) {
            return Err(NotAnIdentity(format!(
                "spiffe://{trust_domain}/ns/{namespace}/sa/{service_account}"
            )));
        }
        Ok(Self(Arc::new(Parts {
            principal: [trust_domain, NAMESPACE, namespace, SERVICE_ACCOUNT, service_account].concat().into(),
            trust_domain: trust_domain.len(),
            namespace: namespace.len(),
        })))
    }

    /// The identity without its scheme, as policies write it: `<trust domain>/ns/<namespace>/sa/<service account>`.
    #[must_use]
    pub fn principal(&self) -> &str {
        &self.0.principal
    }

    /// The trust domain.
    #[must_use]
    pub fn trust_domain(&self) -> &str {
        &self.0.principal[..self.0.trust_domain]
    }

    /// The Kubernetes namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        let start = self.0.trust_domain + NAMESPACE.len();
        &self.0.principal[start..start + self.0.namespace]
    }

    /// The Kubernetes service account.
    #[must_use]
    pub fn service_account(&self) -> &str {
        let start = self.0.trust_domain + NAMESPACE.len() + self.0.namespace + SERVICE_ACCOUNT.len();
        &self.0.principal[start..]
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}", self.principal())
    }
}

impl FromStr for SpiffeId {
    type Err = NotAnIdentity;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || NotAnIdentity(text.to_owned());
        let path = text.strip_prefix(SCHEME).ok_or_else(wrong)?;
        let parts: Vec<&str> = path.split('/').collect();
        let [trust_domain, "ns", namespace, "sa", service_account] = parts[..] else { return Err(wrong()) };
        Self::new(trust_domain, namespace, service_account)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_and_prints_the_same_text() {
        for text in ["spiffe://cluster.local/ns/default/sa/web", "spiffe://a.b/ns/n.s/sa/s.a"] {
            assert_eq!(text.parse::<SpiffeId>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn falls_into_its_parts() {
        let id: SpiffeId = "spiffe://a.b/ns/né/sa/sé".parse().unwrap();
        assert_eq!((id.trust_domain(), id.namespace(), id.service_account()), ("a.b", "né", "sé"));
        assert_eq!(id.principal(), "a.b/ns/né/sa/sé");
    }

    #[test]
    fn refuses_everything_else() {
        for text in [
            "",
            "cluster.local/ns/default/sa/web",
            "spiffe://cluster.local/ns/default/sa/web/",
            "spiffe://cluster.local/ns/default/sa/",
            "spiffe:///ns/default/sa/web",
            "spiffe://cluster.local/namespace/default/sa/web",
            "spiffe://cluster.local/ns/default/sa/web/more",
            "SPIFFE://cluster.local/ns/default/sa/web",
            "spiffe://cluster.local/ns/de\nfault/sa/web",
        ] {
            assert_eq!(text.parse::<SpiffeId>(), Err(NotAnIdentity(text.to_owned())), "{text}");
        }
    }
}
