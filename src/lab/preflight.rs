//! Checks, before anything is made, that this machine can run a lab; says what to do when it cannot.

use std::process::{Command, Stdio};

use nix::unistd::geteuid;

use crate::Error;

/// The tools a lab runs, and the packages that have them.
const TOOLS: [(&str, &str); 4] =
    [("ip", "iproute2"), ("iptables", "iptables"), ("ip6tables", "iptables"), ("iptables-save", "iptables")];

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

/// Whether a tool starts at all; `-V` is harmless for each of them.
fn runs(tool: &str) -> bool {
    let mut command = Command::new(tool);
    command.arg("-V").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
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
