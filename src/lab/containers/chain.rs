//! Calls a list of CNI plugins as a runtime does: adding in order, deleting in reverse, results passed on.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use culvert_sys::child::start_in;
use culvert_sys::netns::Netns;
use serde_json::Value;

use crate::Error;
use crate::error::Doing as _;
use crate::tool;

/// The interface of a pod.
pub(super) const INTERFACE: &str = "eth0";
/// What kubelet allows for a sandbox.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a plugin is told beside its configuration.
pub(super) struct Call<'c> {
    /// The node, where plugins run.
    pub(super) node: &'c Netns,
    /// Where they are looked for.
    pub(super) path: &'c [PathBuf],
    pub(super) netns: &'c Netns,
    pub(super) container: &'c str,
    /// `CNI_ARGS`.
    pub(super) arguments: &'c str,
}

impl Call<'_> {
    /// Has all plugins of a list add the container; gives the last result.
    pub(super) fn add(&self, list: &Value) -> Result<Value, Error> {
        let mut result = Value::Null;
        for plugin in plugins(list) {
            let said = self.plugin("ADD", list, plugin, &result)?;
            result = serde_json::from_str(&said)
                .map_err(std::io::Error::from)
                .doing(|| format!("read what plugin {} says: `{said}`", plugin["type"]))?;
        }
        Ok(result)
    }

    /// Has all plugins of a list delete the container, each of them whatever the others say.
    ///
    /// # Errors
    /// The first.
    pub(super) fn delete(&self, list: &Value, result: &Value) -> Result<(), Error> {
        let delete = |plugin| self.plugin("DEL", list, plugin, result).map(|_| ());
        // Collected first: all are to run.
        let all: Vec<_> = plugins(list).iter().rev().map(delete).collect();
        all.into_iter().collect()
    }

    fn plugin(&self, verb: &str, list: &Value, plugin: &Value, before: &Value) -> Result<String, Error> {
        let kind = plugin["type"].as_str().unwrap_or_default();
        let places = self.path.iter().map(|directory| directory.join(kind));
        let program = places.clone().find(|place| place.exists());
        let program = program.ok_or_else(|| std::io::Error::from(std::io::ErrorKind::NotFound));
        let mut command = Command::new(program.doing(|| format!("find the CNI plugin `{kind}`"))?);
        let path: Vec<_> = self.path.iter().map(|directory| directory.display().to_string()).collect();
        command.env("CNI_COMMAND", verb).env("CNI_CONTAINERID", self.container).env("CNI_IFNAME", INTERFACE);
        command.env("CNI_NETNS", self.netns.path()).env("CNI_ARGS", self.arguments);
        command.env("CNI_PATH", path.join(":"));
        start_in(&mut command, self.node).doing(|| format!("prepare the CNI plugin `{kind}`"))?;
        tool::run(command, &configuration(list, plugin, before).to_string(), PATIENCE)
    }
}

fn plugins(list: &Value) -> &[Value] {
    list["plugins"].as_array().map_or(&[], Vec::as_slice)
}

/// What one plugin reads: its entry, and what it needs of the list and of those before it.
fn configuration(list: &Value, plugin: &Value, before: &Value) -> Value {
    let mut configuration = plugin.clone();
    for key in ["cniVersion", "name"] {
        configuration[key] = list[key].clone();
    }
    if !before.is_null() {
        configuration["prevResult"] = before.clone();
    }
    configuration
}
