//! What is in force, and what is not although it should be: one line of the log.

use std::io;

use caps::Capability;

use crate::calls::Filtered;
use crate::capability::Kept;
use crate::files::Restricted;

/// What has become of a profile.
#[derive(Debug, Default)]
pub struct Report {
    capabilities: String,
    calls: &'static str,
    files: &'static str,
    lacks: Vec<String>,
}

impl Report {
    pub(crate) fn memory(&mut self, result: io::Result<()>) {
        self.check("memory cannot be closed", result);
    }

    pub(crate) fn privileges(&mut self, result: io::Result<()>) {
        self.check("no_new_privs cannot be set", result);
    }

    pub(crate) fn capabilities(&mut self, result: io::Result<Kept>) {
        let Some(kept) = self.check("capabilities cannot be given up", result) else {
            self.capabilities = "as they were".into();
            return;
        };
        self.capabilities = names(&kept.effective);
        if !kept.bounding.is_empty() {
            self.lacks.push(format!("bounding set keeps {}", names(&kept.bounding)));
        }
    }

    pub(crate) fn calls(&mut self, result: Result<Filtered, seccompiler::Error>) {
        self.calls = match self.check("system calls are not filtered", result) {
            Some(Filtered::Enforced) => "filtered",
            Some(Filtered::Logged) => "logged by the kernel, not filtered (CULVERT_SECCOMP)",
            Some(Filtered::Off) => "all (CULVERT_SECCOMP)",
            None => "all",
        };
    }

    pub(crate) fn files(&mut self, result: Result<Restricted, landlock::RulesetError>) {
        self.files = match self.check("files are not restricted", result) {
            Some(Restricted::Enforced) => "restricted",
            Some(Restricted::Partly) => {
                self.lacks.push("the kernel knows a part of Landlock alone".into());
                "restricted in part"
            }
            Some(Restricted::Unknown) => {
                self.lacks.push("the kernel has no Landlock".into());
                "all"
            }
            Some(Restricted::Off) => "all (CULVERT_LANDLOCK)",
            Some(Restricted::Unsuited) => "all (by its work)",
            None => "all",
        };
    }

    fn check<T, E: std::error::Error>(&mut self, what: &str, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.lacks.push(format!("{what}: {error}"))).ok()
    }

    /// What should be in force and is not.
    #[must_use]
    pub fn lacks(&self) -> &[String] {
        &self.lacks
    }

    /// Writes it into the log.
    pub fn tell(&self) {
        let Self { capabilities, calls, files, lacks } = self;
        let lacks = if lacks.is_empty() { "nothing".to_owned() } else { lacks.join("; ") };
        tracing::info!(%capabilities, system_calls = calls, files, lacks, "what is not needed has been given up");
    }
}

/// As people and charts write them, without what all names begin with.
fn names(capabilities: &[Capability]) -> String {
    let name = |one: &Capability| one.to_string().trim_start_matches("CAP_").to_owned();
    let all: Vec<_> = capabilities.iter().map(name).collect();
    if all.is_empty() { "none".to_owned() } else { all.join(",") }
}
