//! The API server of a test's cluster: the lab's own, or the one `KUBE_APISERVER` names. Tests that use no more than what both can do
//! hold on both.
//!
//! Whoever calls these may do everything, as users, kubelets and controllers together. A resource is called as people call it;
//! what is in no namespace has the namespace `""`.

use culvert_lab::Lab;
use culvert_lab::api_server::{ApiServer, Token};
use serde_json::Value;

use super::kube_apiserver::{KubeApiServer, Programs};

/// Where the lab's own one serves.
const PORT: u16 = 6443;

/// The API server.
pub(crate) enum Api {
    Lab(ApiServer),
    Real(KubeApiServer),
}

/// What a cluster does not do, with the reason.
type Answer<T = Value> = Result<T, String>;

impl Api {
    /// Starts the lab's own, with nothing in it.
    #[track_caller]
    pub(crate) fn of_lab(lab: &Lab) -> Self {
        let address = (lab.control_address().ip(), PORT);
        Self::Lab(ApiServer::start_in(lab.control_netns(), address).unwrap())
    }

    /// Starts the one the environment names, or else the lab's own.
    #[track_caller]
    pub(crate) fn named(lab: &Lab) -> Self {
        match Programs::named() {
            Some(programs) => {
                Self::Real(KubeApiServer::start(lab, &programs).unwrap_or_else(|why| panic!("{why}")))
            }
            None => Self::of_lab(lab),
        }
    }

    /// The lab's own, for tests that have it do what no other one can be made to.
    #[track_caller]
    pub(crate) fn lab(&self) -> &ApiServer {
        match self {
            Self::Lab(server) => server,
            Self::Real(_) => panic!("this test needs the API server of the lab"),
        }
    }

    /// Makes an object, with its status.
    pub(crate) fn create(&self, object: impl Into<Value>) -> Answer {
        match self {
            Self::Lab(server) => server.create(object).map_err(|refusal| refusal.to_string()),
            Self::Real(server) => server.client().create(&object.into()),
        }
    }

    /// Makes an object, or replaces the one that is there.
    pub(crate) fn apply(&self, object: impl Into<Value>) -> Answer {
        match self {
            Self::Lab(server) => server.apply(object).map_err(|refusal| refusal.to_string()),
            Self::Real(server) => server.client().apply(&object.into()),
        }
    }

    /// Merges a change into an object, status included: null removes.
    pub(crate) fn patch(&self, resource: &str, namespace: &str, name: &str, change: Value) -> Answer {
        match self {
            Self::Lab(server) => {
                server.patch(resource, namespace, name, change).map_err(|refusal| refusal.to_string())
            }
            Self::Real(server) => server.client().patch(resource, namespace, name, change),
        }
    }

    /// Says that a pod is to end, as `kubectl delete` does.
    pub(crate) fn terminate(&self, resource: &str, namespace: &str, name: &str) -> Answer {
        match self {
            Self::Lab(server) => {
                server.terminate(resource, namespace, name).map_err(|refusal| refusal.to_string())
            }
            Self::Real(server) => server.client().delete(resource, namespace, name, None),
        }
    }

    /// Deletes an object at once.
    pub(crate) fn remove(&self, resource: &str, namespace: &str, name: &str) -> Answer {
        match self {
            Self::Lab(server) => {
                server.remove(resource, namespace, name).map_err(|refusal| refusal.to_string())
            }
            Self::Real(server) => server.client().delete(resource, namespace, name, Some(0)),
        }
    }

    /// An object, or none.
    #[track_caller]
    pub(crate) fn object(&self, resource: &str, namespace: &str, name: &str) -> Option<Value> {
        match self {
            Self::Lab(server) => server.object(resource, namespace, name),
            Self::Real(server) => server.client().get(resource, namespace, name).unwrap(),
        }
    }

    /// All objects of a resource.
    #[track_caller]
    pub(crate) fn objects(&self, resource: &str) -> Vec<Value> {
        match self {
            Self::Lab(server) => server.objects(resource),
            Self::Real(server) => server.client().list(resource).unwrap(),
        }
    }

    /// The token in a volume of a pod.
    #[track_caller]
    pub(crate) fn token(&self, (namespace, account): (&str, &str), pod: &str, audience: &str) -> String {
        match self {
            Self::Lab(server) => {
                server.issue(Token::of(namespace, account).pod(pod).audience(audience)).unwrap()
            }
            Self::Real(server) => server.token((namespace, account), Some(pod), &[audience]).unwrap(),
        }
    }

    /// How a program of the installation comes in, by its account.
    #[track_caller]
    pub(crate) fn kubeconfig(&self, account: &str) -> String {
        match self {
            Self::Lab(server) => server.kubeconfig(),
            Self::Real(server) => server.kubeconfig(account).unwrap(),
        }
    }
}
