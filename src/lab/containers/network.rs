//! The CNI configuration of a node: which plugins a container goes through, and where they are.
//!
//! In go plugins; out come files as runtimes and installers expect them. Nothing is run here.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::Error;
use crate::address;
use crate::directory::replace;
use crate::error::Doing as _;
use crate::node::Node;

/// The bridge on the node.
pub(super) const BRIDGE: &str = "cni0";
/// The version of the protocol between runtimes and plugins.
const VERSION: &str = "1.0.0";
/// What the lab calls its list of plugins.
const FILE: &str = "10-lab.conflist";
/// Where distributions and installers put plugins.
const SYSTEM: [&str; 2] = ["/usr/lib/cni", "/opt/cni/bin"];

/// A program that a chain of plugins ends with.
#[derive(Debug, Clone)]
pub struct Plugin {
    /// Its name in the chain, which its file is called by.
    pub kind: String,
    /// The program.
    pub program: PathBuf,
    /// More keys of its entry, as a JSON object.
    pub settings: Value,
}

/// The network of the containers of one node.
#[derive(Debug)]
pub(super) struct Network {
    configuration: PathBuf,
    plugins: PathBuf,
}

impl Network {
    /// Makes the directories, and a configuration with a bridge only.
    pub(super) fn create(directory: &Path, node: &Node) -> Result<Self, Error> {
        let network = Self { configuration: directory.join("net.d"), plugins: directory.join("bin") };
        for made in [&network.configuration, &network.plugins] {
            fs::create_dir(made).doing(|| format!("make {}", made.display()))?;
        }
        network.write(&[bridge(&directory.join("addresses"), node)?])?;
        Ok(network)
    }

    /// Where the runtime reads the list of plugins: what comes first by name counts.
    pub(super) fn configuration(&self) -> &Path {
        &self.configuration
    }

    /// Where plugins can be put.
    pub(super) fn plugins(&self) -> &Path {
        &self.plugins
    }

    /// All directories in which plugins are looked for.
    pub(super) fn path(&self) -> Vec<PathBuf> {
        std::iter::once(self.plugins.clone()).chain(SYSTEM.map(PathBuf::from)).collect()
    }

    /// Adds a plugin to the end of the list.
    pub(super) fn append(&self, plugin: &Plugin) -> Result<(), Error> {
        let place = self.plugins.join(&plugin.kind);
        // A link would be another path than the one it was started by.
        let placed =
            fs::hard_link(&plugin.program, &place).or_else(|_| fs::copy(&plugin.program, &place).map(|_| ()));
        placed.doing(|| format!("put {} into {}", plugin.program.display(), place.display()))?;
        let mut entry = plugin.settings.clone();
        entry["type"] = plugin.kind.clone().into();
        let mut list = self.current()?["plugins"].as_array().cloned().unwrap_or_default();
        list.push(entry);
        self.write(&list)
    }

    /// What a runtime reads: the first list by name.
    pub(super) fn current(&self) -> Result<Value, Error> {
        let read = || -> std::io::Result<Value> {
            let entries = fs::read_dir(&self.configuration)?.collect::<Result<Vec<_>, _>>()?;
            let lists = entries.iter().map(fs::DirEntry::path);
            let lists = lists.filter(|path| path.extension().is_some_and(|kind| kind == "conflist"));
            let first = lists.min().ok_or(std::io::ErrorKind::NotFound)?;
            Ok(serde_json::from_slice(&fs::read(first)?)?)
        };
        read().doing(|| format!("read a list of plugins in {}", self.configuration.display()))
    }

    fn write(&self, plugins: &[Value]) -> Result<(), Error> {
        let list = json!({"cniVersion": VERSION, "name": "lab", "plugins": plugins});
        replace(&self.configuration.join(FILE), &format!("{list:#}\n")).map(|_| ())
    }
}

fn bridge(addresses: &Path, node: &Node) -> Result<Value, Error> {
    let [v4, v6] = address::container_networks(node.index())?;
    let gateway = address::bridge(node.index())?;
    Ok(json!({
        "type": "bridge",
        "bridge": BRIDGE,
        "isGateway": true,
        "ipam": {
            "type": "host-local",
            "dataDir": addresses,
            "ranges": [
                [{"subnet": v4, "gateway": gateway.ip4}],
                [{"subnet": v6, "gateway": gateway.ip6}],
            ],
            "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}],
        },
    }))
}
