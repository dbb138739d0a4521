//! The objects of Kubernetes that pages show, read by what reads them in a cluster.

use culvert_derive::Settings;
use culvert_derive::policy::{AuthorizationPolicy, Governed, PeerAuthentication};
use serde_json::{Value, json};

use super::Flaws;
use super::markdown::Page;

/// An object, and where it is.
pub(super) struct Object {
    place: String,
    it: Value,
}

/// Kinds that are others' to read, and are only looked at as far as all objects are alike.
const OF_OTHERS: [(&str, &str); 3] =
    [("v1", "Namespace"), ("v1", "Pod"), ("networking.k8s.io/v1", "NetworkPolicy")];
const SECURITY: &str = "security.istio.io/v1";
const POLICY: &str = "AuthorizationPolicy";
const AUTHENTICATION: &str = "PeerAuthentication";

/// All objects of all pages.
pub(super) fn all(pages: &[Page]) -> Vec<Object> {
    let mut all = Vec::new();
    for (page, block) in pages.iter().flat_map(|page| page.blocks.iter().map(move |block| (page, block))) {
        if block.language == "yaml" && block.text.lines().any(|line| line.starts_with("kind:")) {
            let place = format!("{}:{}", page.path, block.line);
            let documents = documents(&block.text).unwrap_or_else(|error| panic!("{place}: {error}"));
            all.extend(documents.into_iter().map(|it| Object { place: place.clone(), it }));
        }
    }
    all
}

/// The documents of a YAML text.
pub(super) fn documents(text: &str) -> Result<Vec<Value>, String> {
    serde_saphyr::from_multiple(text).map_err(|error| error.to_string())
}

/// What the status of a policy says that allows a method of HTTP and governs three workloads, without the ends of lines.
pub(super) fn said_of_http() -> [String; 2] {
    let rules = json!([{"to": [{"operation": {"methods": ["GET"]}}]}]);
    let object = json!({"metadata": {"name": "only-get", "namespace": "shop"}, "spec": {"rules": rules}});
    let policy = AuthorizationPolicy::read(&object);
    let accepted = policy.accepted(&Settings::default()).expect("it is for nodes");
    let enforced = policy.enforced(Governed { in_mesh: 3, outside: 0 });
    [accepted, enforced]
        .map(|it| format!("Message: {} Reason: {} Status: False Type: {}", it.message, it.reason, it.kind))
}

impl Object {
    /// Whether what reads it in a cluster is asked.
    pub(super) fn is_judged(&self) -> bool {
        let (version, kind) = self.sort();
        version == SECURITY && [POLICY, AUTHENTICATION].contains(&kind)
    }

    pub(super) fn flaws(&self) -> Flaws {
        let (version, kind) = self.sort();
        let mut flaws = Vec::new();
        for path in ["/metadata/name", "/apiVersion"] {
            if self.it.pointer(path).and_then(Value::as_str).is_none_or(str::is_empty) {
                flaws.push(format!("{path} is missing"));
            }
        }
        match kind {
            POLICY | AUTHENTICATION if version == SECURITY => flaws.extend(self.problems()),
            _ if OF_OTHERS.contains(&(version, kind)) => {}
            _ => flaws.push(format!("nobody is known to read {version} {kind}")),
        }
        flaws.into_iter().map(|flaw| format!("{}: {flaw}", self.place)).collect()
    }

    fn sort(&self) -> (&str, &str) {
        let text = |key: &str| self.it[key].as_str().unwrap_or_default();
        (text("apiVersion"), text("kind"))
    }

    fn problems(&self) -> Flaws {
        let problems = match self.sort().1 {
            POLICY => AuthorizationPolicy::read(&self.it).problems().to_vec(),
            _ => PeerAuthentication::read(&self.it).problems(&Settings::default()),
        };
        problems.iter().map(ToString::to_string).collect()
    }
}
