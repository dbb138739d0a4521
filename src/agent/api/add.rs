//! A pod is being started: its namespace goes to the enrolment, and the runtime waits until the pod is in the mesh.
//!
//! In goes what the runtime says, out comes whether the pod may start. A namespace that did not make it is forgotten again: the
//! runtime takes it down and makes another one.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use culvert_cni::message::{Answer, Request};
use culvert_process::exit::Chain;
use culvert_sys::netns::{Netns, NetnsId};
use tokio::time::timeout;
use tracing::{info, warn};

use super::{Failure, Sources};
use crate::board::{Board, State, Status};
use crate::cluster::{PodView, View, Why, Wish};
use crate::handed::{Handed, Sandbox};
use crate::pod::Uid;
use crate::presence::Presence;
use crate::roster::Roster;

/// How long things may take that a pod which is being started waits for. Together with a question to the API server that is less than the
/// plugin waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Patience {
    /// How long a pod may be unknown. The kubelet and the agent learn of it at about the same time.
    pub(crate) find: Duration,
    /// How long it may take to get it into the mesh.
    pub(crate) enrol: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { find: Duration::from_secs(5), enrol: Duration::from_secs(20) }
    }
}

/// Why nothing is known.
pub(super) const NOT_LISTED: &str = "the pods and namespaces have not been listed yet";

pub(super) async fn add(sources: &Sources, request: &Request) -> Result<Answer, Failure> {
    let (uid, pod) = match find(sources, request).await? {
        Found::Pod(uid, pod) => (uid, pod),
        Found::Nothing(note) => {
            warn!(pod = %request.pod_name, namespace = %request.pod_namespace, "{note}");
            return Ok(Answer { enrolled: false, note: Some(note) });
        }
    };
    match &pod.wish {
        Wish::Pass(why) => Ok(Answer { enrolled: false, note: Some(why.says().to_owned()) }),
        Wish::Enrol(_) => {
            let netns = open(sources, request).await?;
            let result = enrol(sources, &uid, request, netns).await;
            let (container, netns) = (&request.container_id, request.netns.as_deref());
            match &result {
                Ok(_) => info!(%uid, pod = %pod.workload, container, netns, "a pod starts in the mesh"),
                Err(failure) => {
                    warn!(%uid, pod = %pod.workload, container, netns, ?failure, "a pod may not start yet")
                }
            }
            result
        }
    }
}

/// What is known of a pod that is being started.
enum Found {
    Pod(Uid, Arc<PodView>),
    /// Nobody can say anything of it, but its namespace has nothing to do with the mesh.
    Nothing(String),
}

/// Waits until the pod is known, for a while.
async fn find(sources: &Sources, request: &Request) -> Result<Found, Failure> {
    let mut views = sources.views.clone();
    let known = views.wait_for(|view| view.as_deref().is_some_and(|view| lookup(view, request).is_some()));
    if let Ok(Err(_)) = timeout(sources.patience.find, known).await {
        return Err(Failure::NotReady("the agent is stopping".to_owned()));
    }
    match latest(sources, request)? {
        Sight::Pod(uid, pod) => Ok(Found::Pod(uid, pod)),
        Sight::Outside => unheard_of(sources, request).await,
        Sight::Inside => {
            Err(not_heard(sources, request, "it may have to be in the mesh; is the API server slow?"))
        }
    }
}

/// What the latest view has of a pod.
enum Sight {
    Pod(Uid, Arc<PodView>),
    /// Nothing, and nothing in its namespace is in the mesh.
    Outside,
    /// Nothing, and its namespace may be in the mesh.
    Inside,
}

fn latest(sources: &Sources, request: &Request) -> Result<Sight, Failure> {
    let view = sources.views.borrow().clone();
    let Some(view) = view else {
        return Err(Failure::NotReady(NOT_LISTED.to_owned()));
    };
    if let Some((uid, pod)) = lookup(&view, request) {
        return Ok(Sight::Pod(uid, pod));
    }
    let namespace = request.pod_namespace.as_str();
    let outside = view.namespaces.contains_key(namespace) && !Roster::of(&view).concerns(namespace);
    Ok(if outside { Sight::Outside } else { Sight::Inside })
}

/// The views may be behind, and the pod may be the first of its namespace that is in the mesh: it passes only when nobody can be asked.
async fn unheard_of(sources: &Sources, request: &Request) -> Result<Found, Failure> {
    let said = sources.registry.presence(&request.pod_namespace, &request.pod_name).await;
    // It may have been heard of meanwhile.
    match latest(sources, request)? {
        Sight::Pod(uid, pod) => return Ok(Found::Pod(uid, pod)),
        Sight::Inside => return Err(not_heard(sources, request, "it may have to be in the mesh by now")),
        Sight::Outside => {}
    }
    let why = match said {
        Presence::There => {
            "the API server has it: the watches are behind, and it may have to be in the mesh".to_owned()
        }
        Presence::Absent => "the API server has none of that name".to_owned(),
        Presence::Refused(why) => format!("whether it has to be in the mesh cannot be asked: {why}"),
        Presence::Silence(why) => {
            let unheard = unheard(sources, request);
            return Ok(Found::Nothing(format!(
                "{unheard}; nothing in its namespace is in the mesh, and the API server cannot be asked, so it starts: {why}"
            )));
        }
    };
    Err(not_heard(sources, request, &why))
}

fn not_heard(sources: &Sources, request: &Request, why: &str) -> Failure {
    Failure::Retry(format!("{}, and {why}", unheard(sources, request)))
}

fn unheard(sources: &Sources, request: &Request) -> String {
    let (namespace, name) = (&request.pod_namespace, &request.pod_name);
    format!("the agent has not heard of the pod {namespace}/{name} within {:?}", sources.patience.find)
}

/// Finds a pod by its UID, since names are reused; by its name if the runtime does not say the UID, or says another one than the
/// cluster, as it does of static pods.
pub(super) fn lookup(view: &View, request: &Request) -> Option<(Uid, Arc<PodView>)> {
    if let Some(uid) = &request.pod_uid
        && let Some((uid, pod)) = view.pods.get_key_value(uid.as_str())
    {
        return Some((uid.clone(), Arc::clone(pod)));
    }
    let named = |pod: &PodView| {
        let is_called_so =
            pod.workload.namespace == request.pod_namespace && pod.workload.name == request.pod_name;
        is_called_so && (request.pod_uid.is_none() || pod.wish == Wish::Pass(Why::Static))
    };
    view.pods.iter().find(|(_, pod)| named(pod)).map(|(uid, pod)| (uid.clone(), Arc::clone(pod)))
}

/// Opens the namespace the runtime has made, which is nobody else's.
pub(super) async fn open(sources: &Sources, request: &Request) -> Result<Arc<Netns>, Failure> {
    let Some(said) = &request.netns else {
        return Err(Failure::Invalid(
            "the runtime does not say which network namespace the pod has".to_owned(),
        ));
    };
    let path = seen_from_here(&sources.host_prefix, said);
    let opened = {
        let path = path.clone();
        tokio::task::spawn_blocking(move || open_file(&path)).await
    };
    let netns = opened.unwrap_or_else(|panic| Err(io::Error::other(panic))).map_err(|error| {
        let path = path.display();
        let why = Chain(&error).to_string();
        Failure::Retry(format!("the pod's network namespace {path} cannot be opened: {why}; the directory has to be mounted into the agent with mountPropagation HostToContainer"))
    })?;
    if sources.host.is(netns.id()) {
        return Err(Failure::Invalid(format!("{said} is the host's network namespace, not a pod's")));
    }
    Ok(Arc::new(netns))
}

pub(super) fn seen_from_here(prefix: &Path, path: &str) -> PathBuf {
    if prefix.as_os_str().is_empty() {
        return path.into();
    }
    prefix.join(path.trim_start_matches('/'))
}

fn open_file(path: &Path) -> io::Result<Netns> {
    // Opening a named pipe would wait for a writer for ever.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a network namespace"));
    }
    Netns::open(path)
}

/// Hands the namespace over and waits until the pod is protected in it.
async fn enrol(
    sources: &Sources,
    uid: &Uid,
    request: &Request,
    netns: Arc<Netns>,
) -> Result<Answer, Failure> {
    let mut boards = sources.boards.clone();
    let id = netns.id();
    let before = boards.borrow_and_update().get(uid).cloned();
    let offer = Offer::make(&sources.handed, uid, &request.container_id, netns);
    let settled = async {
        boards.wait_for(|board| judge(board, uid, id, before.as_ref()).is_some()).await.map(|board| {
            // The same question as a moment ago, about the same board.
            judge(&board, uid, id, before.as_ref())
                .unwrap_or_else(|| Err("its state is not known".to_owned()))
        })
    };
    let within = sources.patience.enrol;
    let verdict = timeout(within, settled).await;
    match verdict {
        Ok(Ok(Ok(()))) => {
            offer.keep();
            Ok(Answer { enrolled: true, note: None })
        }
        Ok(Ok(Err(reason))) => Err(Failure::Retry(reason)),
        Ok(Err(_)) => Err(Failure::NotReady("the agent is stopping".to_owned())),
        Err(_) => {
            let state = describe(sources.boards.borrow().get(uid).map(Arc::as_ref), id);
            Err(Failure::Retry(format!("the pod is not in the mesh after {within:?}: {state}")))
        }
    }
}

/// Whether it has been decided that a pod is protected in this namespace, or that it cannot be. What was said before the
/// namespace was known is about another one.
fn judge(
    board: &Board,
    uid: &Uid,
    netns: NetnsId,
    before: Option<&Arc<Status>>,
) -> Option<Result<(), String>> {
    let status = board.get(uid)?;
    if status.is_protected() && status.netns == Some(netns) {
        return Some(Ok(()));
    }
    let same = |before: &Arc<Status>| {
        (&before.state, before.since, before.netns) == (&status.state, status.since, status.netns)
    };
    let stale = before.is_some_and(same);
    let elsewhere = status.netns.is_some_and(|known| known != netns);
    match &status.state {
        State::Quarantined { reason } if !stale && !elsewhere => Some(Err(reason.to_string())),
        State::Awaited
        | State::Programming
        | State::Enrolled
        | State::Impaired { .. }
        | State::Quarantined { .. }
        | State::Leaving => None,
    }
}

/// What keeps a pod from being protected in this namespace.
pub(super) fn describe(status: Option<&Status>, netns: NetnsId) -> String {
    let Some(status) = status else { return "the enrolment has not looked at it yet".to_owned() };
    match &status.state {
        State::Impaired { reason } => return format!("something is wrong with it: {reason}"),
        State::Quarantined { reason } => return format!("it could not be captured: {reason}"),
        State::Leaving => return "it is on its way out".to_owned(),
        State::Awaited => return "its network namespace has not been looked at".to_owned(),
        State::Programming => return "its rules are being programmed".to_owned(),
        State::Enrolled => {}
    }
    match status.netns {
        Some(known) if known != netns => format!("it is enrolled in another network namespace, {known}"),
        None => "its network namespace is not known".to_owned(),
        Some(_)
            if status.nodes == 0
                && let Some(refusal) = &status.refusal =>
        {
            format!("the node proxy refuses to serve it: {refusal}")
        }
        Some(_) if status.nodes == 0 => {
            "no node proxy has taken it; is culvert-node running on this node, and connected to the agent?"
                .to_owned()
        }
        Some(_) => "it is in the mesh".to_owned(),
    }
}

/// A namespace that was handed over, and is taken back unless the pod makes it: also when the plugin has gone away meanwhile.
struct Offer<'h> {
    handed: &'h Handed,
    uid: Uid,
    container: &'h str,
    kept: bool,
}

impl<'h> Offer<'h> {
    fn make(handed: &'h Handed, uid: &Uid, container: &'h str, netns: Arc<Netns>) -> Self {
        handed.put(uid.clone(), Sandbox { container: container.into(), netns });
        Self { handed, uid: uid.clone(), container, kept: false }
    }

    fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Offer<'_> {
    fn drop(&mut self) {
        if !self.kept {
            self.handed.withdraw(&self.uid, self.container);
        }
    }
}
