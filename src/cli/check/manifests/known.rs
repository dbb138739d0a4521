//! The kinds of objects that matter, and what is close to one of them and none.
//!
//! Goes in: `apiVersion` and `kind` as they are written. Deliberately absent: kinds of others, of which nobody here knows anything.

use culvert_derive::Kind;
use serde_json::Value;

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum What {
    /// Something the mesh is derived from.
    Derived(Kind),
    /// Something that makes pods: its kind, and where the template is.
    Controller(&'static str, &'static str),
    NetworkPolicy,
    ServiceAccount,
}

/// What is wrong with `apiVersion` or `kind`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mistake {
    /// The field.
    pub(super) field: &'static str,
    pub(super) found: String,
    pub(super) remedy: String,
}

/// What makes pods: API group, kind, the place of the template.
const CONTROLLERS: [(&str, &str, &str); 7] = [
    ("apps", "Deployment", "spec.template"),
    ("apps", "StatefulSet", "spec.template"),
    ("apps", "DaemonSet", "spec.template"),
    ("apps", "ReplicaSet", "spec.template"),
    ("batch", "Job", "spec.template"),
    ("batch", "CronJob", "spec.jobTemplate.spec.template"),
    ("", "ReplicationController", "spec.template"),
];
/// A kind of somebody's own that makes pods.
pub(super) const CUSTOM: What = What::Controller("", "spec.template");
/// Groups whose kinds are often written with another one of them.
const MIXED_UP: &str = "istio.io";

impl What {
    /// Knows what matters by its group and kind; versions say the same in other words, or the API server translates them.
    pub(super) fn of(group: &str, kind: &str) -> Option<Self> {
        Self::all().find(|what| (what.group(), what.kind()) == (group, kind))
    }

    /// Takes what has a template with containers for something that makes pods, whatever it is called.
    pub(super) fn like_others(value: &Value) -> Option<Self> {
        value["spec"]["template"]["spec"]["containers"].is_array().then_some(CUSTOM)
    }

    fn all() -> impl Iterator<Item = Self> {
        let derived = Kind::ALL.into_iter().map(Self::Derived);
        let controllers = CONTROLLERS.into_iter().map(|(_, kind, template)| Self::Controller(kind, template));
        derived.chain(controllers).chain([Self::NetworkPolicy, Self::ServiceAccount])
    }

    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::Derived(kind) => kind.names().1,
            Self::Controller(kind, _) => kind,
            Self::NetworkPolicy => "NetworkPolicy",
            Self::ServiceAccount => "ServiceAccount",
        }
    }

    fn group(self) -> &'static str {
        match self {
            Self::Derived(kind) => kind.names().0.split_once('/').map_or("", |(group, _)| group),
            Self::Controller(kind, _) => {
                CONTROLLERS.iter().find(|known| known.1 == kind).map_or("", |known| known.0)
            }
            Self::NetworkPolicy => "networking.k8s.io",
            Self::ServiceAccount => "",
        }
    }

    /// The versions there are in clusters, the one to write first.
    fn versions(self) -> &'static [&'static str] {
        match self.group() {
            "security.istio.io" | "gateway.networking.k8s.io" => &["v1", "v1beta1"],
            "networking.istio.io" => &["v1", "v1beta1", "v1alpha3"],
            _ => &["v1"],
        }
    }

    /// What to write as `apiVersion`.
    fn api_version(self) -> String {
        let version = self.versions().first().copied().unwrap_or_default();
        match self.group() {
            "" => version.to_owned(),
            group => format!("{group}/{version}"),
        }
    }

    /// Tells whether it is in no namespace.
    pub(super) fn is_of_cluster(self) -> bool {
        matches!(self, Self::Derived(Kind::Namespace | Kind::Node | Kind::GatewayClass))
    }
}

/// Gives the group in an `apiVersion`, and the version; both are empty where nothing is written.
pub(super) fn halves(api_version: &str) -> (&str, &str) {
    api_version.split_once('/').unwrap_or(("", api_version))
}

/// Tells what is wrong with what names the kind of an object, if a kind that matters was probably meant.
pub(super) fn mistake(api_version: &str, kind: &str) -> Option<Mistake> {
    let (group, version) = halves(api_version);
    let wrong_version = |what: What| {
        let found = match api_version {
            "" => format!("this {kind} has no apiVersion"),
            other => format!("there is no {kind} in `{other}`"),
        };
        Mistake { field: "apiVersion", found, remedy: format!("write {}", what.api_version()) }
    };
    if let Some(what) = What::of(group, kind) {
        return (!what.versions().contains(&version)).then(|| wrong_version(what));
    }
    let is_mixed_up = |what: &What| group.is_empty() || (of_istio(group) && of_istio(what.group()));
    if let Some(what) = What::all().find(|what| what.kind() == kind && is_mixed_up(what)) {
        return Some(wrong_version(what));
    }
    let misspelt = |what: &What| what.group() == group && what.kind().eq_ignore_ascii_case(kind);
    What::all().find(misspelt).map(|what| Mistake {
        field: "kind",
        found: format!("there is no kind `{kind}`"),
        remedy: format!("write {}", what.kind()),
    })
}

fn of_istio(group: &str) -> bool {
    group.strip_suffix(MIXED_UP).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_probably_meant_is_said() {
        for (version, kind, expected) in [
            ("security.istio.io/v1alpha1", "AuthorizationPolicy", Some("write security.istio.io/v1")),
            ("security.istio.io", "AuthorizationPolicy", Some("write security.istio.io/v1")),
            ("networking.istio.io/v1", "AuthorizationPolicy", Some("write security.istio.io/v1")),
            ("", "AuthorizationPolicy", Some("write security.istio.io/v1")),
            ("v1", "PeerAuthentication", Some("write security.istio.io/v1")),
            ("security.istio.io/v1", "authorizationPolicy", Some("write AuthorizationPolicy")),
            ("", "Service", Some("write v1")),
            ("v1", "Deployment", Some("write apps/v1")),
            ("batch/v1beta1", "CronJob", Some("write batch/v1")),
            ("security.istio.io/v1beta1", "AuthorizationPolicy", None),
            ("networking.istio.io/v1alpha3", "ServiceEntry", None),
            ("gateway.networking.k8s.io/v1beta1", "Gateway", None),
            // Kinds of others.
            ("policy.linkerd.io/v1alpha1", "AuthorizationPolicy", None),
            ("networking.istio.io/v1", "Gateway", None),
            ("serving.knative.dev/v1", "Service", None),
            ("security.istio.io/v1", "RequestAuthentication", None),
            ("", "Widget", None),
        ] {
            let remedy = mistake(version, kind).map(|it| it.remedy);
            assert_eq!(remedy.as_deref(), expected, "{version} {kind}");
        }
    }
}
