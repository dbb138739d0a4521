//! Where the mesh's programs are: in a directory, or built from this workspace.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::Error;
use crate::tool;

/// A build from nothing on a small machine.
const PATIENCE: Duration = Duration::from_secs(30 * 60);

/// The programs a lab starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Programs {
    /// The data plane.
    pub node: PathBuf,
    /// What enrols pods.
    pub agent: PathBuf,
    /// The control plane.
    pub control: PathBuf,
}

impl Programs {
    /// The programs of a directory, under their usual names.
    #[must_use]
    pub fn from_directory(directory: &Path) -> Self {
        let named = |name| directory.join(name);
        Self { node: named("culvert-node"), agent: named("culvert-agent"), control: named("culvert-control") }
    }

    /// The programs of this workspace, built by cargo on the first call of the process.
    ///
    /// # Errors
    /// When the build fails, with all that the compiler said.
    pub fn build() -> Result<Self, Error> {
        static BUILT: Mutex<Option<Programs>> = Mutex::new(None);
        let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(programs) = built.as_ref() {
            return Ok(programs.clone());
        }
        Ok(built.insert(cargo_build()?).clone())
    }

    /// The same programs, but another data plane.
    #[must_use]
    pub fn with_node(mut self, node: impl Into<PathBuf>) -> Self {
        self.node = node.into();
        self
    }
}

fn cargo_build() -> Result<Programs, Error> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    command.args(["build", "--message-format=json-render-diagnostics"]);
    // What people type is not started here, but built with them, as the Makefile does: its crates decide about the features of those
    // they share, and with others all would be built anew.
    command.args(["-p", "culvert-node", "-p", "culvert-agent", "-p", "culvert-control", "-p", "culvert"]);
    let messages = tool::run(command, "", PATIENCE)?;
    let find = |name| {
        let found = messages.lines().find_map(|line| executable(line, name));
        found.ok_or_else(|| Error::Tool {
            command: format!("cargo build -p {name}"),
            outcome: "success".into(),
            output: format!("cargo named no program {name}"),
        })
    };
    Ok(Programs {
        node: find("culvert-node")?,
        agent: find("culvert-agent")?,
        control: find("culvert-control")?,
    })
}

/// Reads the path of a program out of one of cargo's messages, if it is in there.
fn executable(message: &str, name: &str) -> Option<PathBuf> {
    let message: serde_json::Value = serde_json::from_str(message).ok()?;
    let is_it = message["target"]["name"] == name;
    let path = message["executable"].as_str().filter(|_| is_it)?;
    Some(path.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_in_the_messages_of_cargo() {
        let message = r#"{"reason":"compiler-artifact","target":{"name":"culvert-node"},"executable":"/t/culvert-node"}"#;
        assert_eq!(executable(message, "culvert-node"), Some("/t/culvert-node".into()));
        assert_eq!(executable(message, "culvert-agent"), None);
        assert_eq!(
            executable(r#"{"target":{"name":"culvert-node"},"executable":null}"#, "culvert-node"),
            None
        );
        assert_eq!(executable("not json", "culvert-node"), None);
    }

    #[test]
    fn another_data_plane_leaves_the_others() {
        let programs = Programs::from_directory(Path::new("/opt")).with_node("/x/other");
        assert_eq!(programs.node, Path::new("/x/other"));
        assert_eq!(programs.agent, Path::new("/opt/culvert-agent"));
        assert_eq!(programs.control, Path::new("/opt/culvert-control"));
    }
}
