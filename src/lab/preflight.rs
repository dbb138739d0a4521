//! Checks, before anything is made, that this machine can run a lab; says what to do when it cannot.

use std::process::{Command, Stdio};

use nix::unistd::geteuid;

use crate::Error;

/// The tools a lab runs, and the packages that have them.
const TOOLS: [(&str, &str); 4] =
    [("ip", "iproute2"), ("iptables", "iptables"), ("ip6tables", "iptables"), ("iptables-save", "iptables")];

/// What containers take in addition.
const CONTAINER_TOOLS: [(&str, &str); 4] =
    [("podman", "podman"), ("conmon", "conmon"), ("runc", "runc"), ("busybox", "busybox-static")];
/// The plugin every chain begins with, where distributions and installers put it.
const BRIDGE: [&str; 2] = ["/usr/lib/cni/bridge", "/opt/cni/bin/bridge"];

/// # Errors
/// The first thing that is missing.
pub(crate) fn check() -> Result<(), Error> {
    if !geteuid().is_root() {
        return Err(Error::NotRoot);
    }
    match TOOLS.iter().find(|(tool, _)| !runs(tool)) {
        Some((tool, package)) => Err(Error::MissingTool { tool, package }),
        None => Ok(()),
    }
}

/// Checks what containers take, which is more than a lab without them does.
///
/// # Errors
/// The first thing that is missing.
pub(crate) fn check_containers() -> Result<(), Error> {
    if let Some((tool, package)) = CONTAINER_TOOLS.iter().find(|(tool, _)| !runs_with(tool, option(tool))) {
        return Err(Error::MissingTool { tool, package });
    }
    let there = BRIDGE.iter().any(|place| std::path::Path::new(place).exists());
    if there {
        Ok(())
    } else {
        Err(Error::MissingTool { tool: BRIDGE[0], package: "containernetworking-plugins" })
    }
}

/// What is harmless for a tool.
fn option(tool: &str) -> &'static str {
    if tool == "busybox" { "--help" } else { "--version" }
}

/// Whether a tool starts at all; `-V` is harmless for each of those a lab needs.
fn runs(tool: &str) -> bool {
    runs_with(tool, "-V")
}

fn runs_with(tool: &str, option: &str) -> bool {
    let mut command = Command::new(tool);
    command.arg(option).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_tool_does_not_run() {
        assert!(!runs("culvert-there-is-no-such-tool"));
        assert!(runs("ip"));
    }
}
