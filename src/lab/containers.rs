//! Pods that are made as on a real node: by a container runtime that calls CNI plugins.
//!
//! Two kinds, with the same chain of plugins and the same kind of control groups. [`Containers::run`] has podman run a
//! container; it takes half a second. [`Containers::sandbox`] does what kubelet has done for a pod before its first image: a
//! network namespace, the plugins, a process that holds it. Both give a [`Pod`] that is like every other one of the lab.
//!
//! All of it is made inside the node's namespace and below the lab's directory; what the kernel would not take away with this
//! process (containers, control groups) is taken away by one that outlives it. What the chain is at the moment of a call is read
//! from the configuration directory, so that an installer can change it as on a real node.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use culvert_sys::netns::Netns;

use crate::Error;
use crate::address::{self, Both};
use crate::error::{Doing as _, check_name};
use crate::host::{self, Forwarding};
use crate::node::Node;
use crate::pod::{Place, Pod, PodSpec};
use crate::preflight;
use crate::tool;

mod cgroups;
mod chain;
mod container;
mod inspect;
mod network;
mod podman;
mod sandbox;
mod undertaker;

use cgroups::Cgroups;
use chain::Call;
use container::Kind;
use network::Network;
use podman::{Order, Podman};
use sandbox::Sandbox;
use undertaker::Undertaker;

pub use container::Container;
pub use network::Plugin;

/// How long a container's only process sleeps, in seconds: longer than any test.
const FOREVER: &str = "1000000";
/// What DNS allows for one label.
const LONGEST_LABEL: usize = 63;

/// The container runtime of a node. Cheap to clone; everything it runs ends with its lab.
#[derive(Debug, Clone)]
pub struct Containers(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    node: Node,
    network: Network,
    cgroups: Cgroups,
    podman: Podman,
    running: Mutex<BTreeMap<String, Container>>,
    undertaker: Mutex<Undertaker>,
}

/// A uid that nobody else has, in this lab or another.
///
/// # Errors
/// When the kernel has none to give.
pub fn new_uid() -> Result<String, Error> {
    const PATH: &str = "/proc/sys/kernel/random/uuid";
    let uid = fs::read_to_string(PATH).doing(|| format!("read {PATH}"))?;
    Ok(uid.trim().to_owned())
}

impl Containers {
    /// Makes a runtime with nothing running, in a directory of its own. `group` must be unique on the machine.
    pub(crate) fn start(node: &Node, directory: &Path, group: String) -> Result<Self, Error> {
        preflight::check_containers()?;
        plug_bridge(node)?;
        let network = Network::create(directory, node)?;
        let cgroups = Cgroups::new(group)?;
        let podman = Podman::create(node.netns(), directory, &network)?;
        let mut removal = podman.command();
        removal.args(["rm", "--all", "--force", "--time", "0"]);
        let undertaker = Undertaker::engage(node.netns(), cgroups.name(), podman.run_directory(), &removal)?;
        let (running, undertaker) = (Mutex::default(), Mutex::new(undertaker));
        Ok(Self(Arc::new(Inner { node: node.clone(), network, cgroups, podman, running, undertaker })))
    }

    /// Has all containers from now on go through one more plugin, at the end.
    ///
    /// # Errors
    /// When the program cannot be put where plugins are.
    pub fn append(&self, plugin: &Plugin) -> Result<(), Error> {
        self.0.network.append(plugin)
    }

    /// Where the runtime reads which plugins there are, as `/etc/cni/net.d` of a real node.
    #[must_use]
    pub fn configuration_directory(&self) -> &Path {
        self.0.network.configuration()
    }

    /// Where plugins can be put, as `/opt/cni/bin` of a real node.
    #[must_use]
    pub fn plugin_directory(&self) -> &Path {
        self.0.network.plugins()
    }

    /// Those that are there, in no special order.
    #[must_use]
    pub fn running(&self) -> Vec<Container> {
        self.0.running().values().cloned().collect()
    }

    /// Runs a container with podman.
    ///
    /// # Errors
    /// When a plugin says no, or podman; nothing of it is left then.
    pub fn run(&self, spec: PodSpec, uid: &str) -> Result<Container, Error> {
        check(&spec)?;
        let (inner, arguments) = (&*self.0, arguments(&spec, uid));
        let list = inner.network.current()?;
        let cgroup = inner.cgroups.of_pod(uid);
        let order = Order {
            name: &spec.name,
            uid,
            arguments: &arguments,
            network: list["name"].as_str().unwrap_or_default(),
            cgroup: &cgroup,
        };
        let started = inner.podman.run(&order).and_then(|(id, pid)| {
            let netns = Netns::of_process(pid).doing(|| format!("open the namespace of process {pid}"))?;
            let place = inner.place(Arc::new(netns), uid)?;
            Ok(Container::new(Pod::new(spec.clone(), place), id, pid, Kind::Podman))
        });
        if started.is_err() {
            // The first failure is the one to tell of.
            let _ = inner.podman.remove(&spec.name, &arguments);
        }
        started.inspect(|container| inner.keep(container))
    }

    /// Makes a sandbox.
    ///
    /// # Errors
    /// When a plugin says no; all of them have been told to take back what they did then, as kubelet does.
    pub fn sandbox(&self, spec: PodSpec, uid: &str) -> Result<Container, Error> {
        check(&spec)?;
        let inner = &*self.0;
        let netns = host::create(&spec.name, Forwarding::Off)?;
        let id = new_uid()?.replace('-', "").repeat(2);
        let list = inner.network.current()?;
        let (path, arguments) = (inner.network.path(), sandbox_arguments(&spec, uid, &id));
        let call = Call {
            node: inner.node.netns(),
            path: &path,
            netns: &netns,
            container: &id,
            arguments: &arguments,
        };
        let made = call.add(&list).and_then(|result| {
            let sandbox = Sandbox::new(Arc::clone(&netns), result);
            let pid = sandbox.hold()?;
            inner.cgroups.put(uid, &id, pid)?;
            let pod = Pod::new(spec.clone(), inner.place(Arc::clone(&netns), uid)?);
            Ok(Container::new(pod, id.clone(), pid, Kind::Sandbox(sandbox)))
        });
        if made.is_err() {
            // The first failure is the one to tell of.
            let _ = call.delete(&list, &serde_json::Value::Null);
            let _ = inner.cgroups.remove(uid, &id);
        }
        made.inspect(|container| inner.keep(container))
    }

    /// Ends a container: its processes, then its network. Its namespace is there until the last handle of its pod goes.
    ///
    /// # Errors
    /// When a plugin says no, or podman.
    pub fn remove(&self, container: &Container) -> Result<(), Error> {
        let inner = &*self.0;
        inner.running().remove(container.id());
        let pod = container.pod();
        match container.kind() {
            Kind::Podman => inner.podman.remove(pod.name(), &arguments(pod.spec(), pod.uid())),
            Kind::Sandbox(sandbox) => inner.remove_sandbox(container, sandbox),
        }
    }

    /// Ends everything.
    pub(crate) fn end(&self) -> Result<(), Error> {
        let inner = &*self.0;
        let running = std::mem::take(&mut *inner.running());
        // Podman's are the undertaker's; the network of sandboxes goes with the node.
        let sandboxes = running.values().filter_map(|container| match container.kind() {
            Kind::Sandbox(sandbox) => Some(sandbox),
            Kind::Podman => None,
        });
        let ended: Vec<_> = sandboxes.map(Sandbox::let_go).collect();
        let cleaned = inner.undertaker.lock().unwrap_or_else(PoisonError::into_inner).finish();
        ended.into_iter().chain([cleaned]).collect()
    }
}

impl Inner {
    fn running(&self) -> MutexGuard<'_, BTreeMap<String, Container>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, container: &Container) {
        self.running().insert(container.id().to_owned(), container.clone());
    }

    /// What a pod of the lab is made of, as the kernel shows it.
    fn place(&self, netns: Arc<Netns>, uid: &str) -> Result<Place, Error> {
        let seen = inspect::interface(&netns, self.node.netns())?;
        Ok(Place {
            uid: uid.to_owned(),
            node: self.node.name().to_owned(),
            netns,
            address: Both { ip4: seen.ip4, ip6: seen.ip6 },
            node_interface: seen.outside,
        })
    }

    fn remove_sandbox(&self, container: &Container, sandbox: &Sandbox) -> Result<(), Error> {
        let (pod, path) = (container.pod(), self.network.path());
        let call = Call {
            node: self.node.netns(),
            path: &path,
            netns: &sandbox.netns,
            container: container.id(),
            arguments: &sandbox_arguments(pod.spec(), pod.uid(), container.id()),
        };
        sandbox.let_go()?;
        let deleted = self.network.current().and_then(|list| call.delete(&list, &sandbox.result));
        deleted.and(self.cgroups.remove(pod.uid(), container.id()))
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // A lab has done this, and said what went wrong; without one nobody is left to tell.
        let _ = self.undertaker.get_mut().unwrap_or_else(PoisonError::into_inner).finish();
    }
}

fn check(spec: &PodSpec) -> Result<(), Error> {
    check_name("pod", &spec.name, LONGEST_LABEL)?;
    check_name("namespace", &spec.namespace, LONGEST_LABEL)
}

/// What podman does not say by itself: it passes on what it finds in its own environment, and adds the name.
fn arguments(spec: &PodSpec, uid: &str) -> String {
    format!("K8S_POD_NAMESPACE={};K8S_POD_UID={uid}", spec.namespace)
}

/// What container runtimes say on behalf of kubelet.
fn sandbox_arguments(spec: &PodSpec, uid: &str, container: &str) -> String {
    let PodSpec { name, namespace, .. } = spec;
    format!(
        "IgnoreUnknown=1;K8S_POD_NAMESPACE={namespace};K8S_POD_NAME={name};\
         K8S_POD_INFRA_CONTAINER_ID={container};K8S_POD_UID={uid}"
    )
}

/// Makes the bridge before a plugin does: with an address of its own, it does not take that of whoever was plugged in last,
/// of which the others would have to learn first.
fn plug_bridge(node: &Node) -> Result<(), Error> {
    let address = address::bridge(node.index())?;
    let name = network::BRIDGE;
    tool::ip(
        node.netns(),
        &[
            format!("link add {name} address 02:c0:00:00:00:01 type bridge"),
            format!("link set {name} up"),
            format!("addr add {}/20 dev {name}", address.ip4),
            format!("addr add {}/116 dev {name} nodad", address.ip6),
        ],
    )
}

/// Where the files of a node's runtime are.
pub(crate) fn directory(node: &Node) -> PathBuf {
    node.directory().join("containers")
}
