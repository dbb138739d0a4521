//! Enrolment, and the mesh file: what the programs are told, and waiting until they have done it.

use std::path::Path;
use std::sync::{Arc, PoisonError};

use culvert_sys::netns::Netns;

use crate::http;
use crate::mesh::Section;
use crate::pod::Pod;
use crate::program::{LogPosition, Program};
use crate::wait::PATIENCE;
use crate::{Error, Lab};

use super::{Role, Running, State};

/// Where a proxy answers questions about itself.
const ADMIN: ([u8; 4], u16) = ([127, 0, 0, 1], 15000);
/// The column of a log line that has the level; columns are separated by tabs.
const LOG_LEVEL: usize = 1;
/// The listeners of a captured pod.
const CAPTURE_PORTS: [u16; 3] = [15001, 15006, 15008];

impl Lab {
    /// Puts a pod into the mesh; with agent and proxy of its node running, waits until its traffic is captured.
    ///
    /// # Errors
    /// When that takes more than twenty seconds; with the ends of the logs.
    pub fn enrol(&self, pod: &Pod) -> Result<(), Error> {
        self.enrol_all(&[pod])
    }

    /// Puts several pods into the mesh at once.
    ///
    /// # Errors
    /// As [`enrol`](Self::enrol).
    pub fn enrol_all(&self, pods: &[&Pod]) -> Result<(), Error> {
        self.state().enrolled.extend(pods.iter().map(|pod| pod.uid().to_owned()));
        self.apply()?;
        pods.iter().try_for_each(|pod| self.wait_until_captured(pod))
    }

    /// Takes a pod out of the mesh; with its node's agent running, waits until its traffic is no longer captured.
    ///
    /// # Errors
    /// When that takes more than twenty seconds; with the ends of the logs.
    pub fn unenrol(&self, pod: &Pod) -> Result<(), Error> {
        self.state().enrolled.remove(pod.uid());
        self.apply()?;
        if !self.state().runs(|role| matches!(role, Role::Agent(name) if name == pod.node())) {
            return Ok(());
        }
        let what = format!("pod {} is no longer captured", pod.name());
        self.wait_until(PATIENCE, &what, || !listens_on_any(pod) && pod.is_captured().is_ok_and(|is| !is))
    }

    /// Whether the lab has put a pod into the mesh.
    #[must_use]
    pub fn is_enrolled(&self, pod: &Pod) -> bool {
        self.state().enrolled.contains(pod.uid())
    }

    /// Sets the test's own items of a section of the mesh file (a YAML list, indented as you like), and waits until
    /// the running proxies have them.
    ///
    /// # Errors
    /// [`Error::Refused`] when a program finds them wrong; when one takes more than twenty seconds.
    pub fn set(&self, section: Section, yaml: &str) -> Result<(), Error> {
        self.state().additions.set(section, yaml);
        self.apply()
    }

    /// Writes what the programs follow, and waits until the running ones have taken the mesh file, if it changed.
    ///
    /// Called by everything that changes the mesh or starts a program, but not by the making of a node or a pod.
    ///
    /// # Errors
    /// [`Error::Refused`] when a program finds it wrong; when one takes more than twenty seconds.
    pub fn apply(&self) -> Result<(), Error> {
        let _one_at_a_time = self.applying.lock().unwrap_or_else(PoisonError::into_inner);
        // The position first: what is logged about the last version must not count for this one.
        let control = self.state().control();
        let control = control.map(|program| (program.log_position(), program));
        if !self.write_files()? {
            return Ok(());
        }
        let Some((position, control)) = control else { return Ok(()) };
        let taken = mesh_taken(&control, position, &self.mesh_file()).and_then(|version| {
            let proxies = self.state().proxies();
            proxies.iter().try_for_each(|(program, netns)| has_version(program, netns, &version))
        });
        taken.map_err(|error| self.explain(error))
    }

    /// Waits until traffic of an enrolled pod is captured and, with a control plane, certified.
    pub(super) fn wait_until_captured(&self, pod: &Pod) -> Result<(), Error> {
        let (agent, proxy, control) = {
            let state = self.state();
            let agent = state.runs(|role| matches!(role, Role::Agent(name) if name == pod.node()));
            (agent, state.proxy_of(pod.node()), state.runs(|role| matches!(role, Role::Control)))
        };
        let Some((program, netns)) = proxy.filter(|_| agent) else { return Ok(()) };
        let what = format!("pod {} is captured", pod.name());
        let listens = |port: &u16| pod.listens(*port).unwrap_or(false);
        self.wait_while_running(&program, &what, || {
            CAPTURE_PORTS.iter().all(listens) && pod.is_captured().unwrap_or(false)
        })?;
        if !control {
            return Ok(());
        }
        let what = format!("{} has a certificate of {}", program.name(), pod.identity());
        self.wait_while_running(&program, &what, || {
            config_dump(&netns).is_some_and(|dump| has_certificate(&dump, &pod.identity()))
        })
    }
}

/// Waits for the line in which the control plane says that it has taken the mesh file, and gives the version it made of it; or
/// else for its complaint.
fn mesh_taken(control: &Program, position: LogPosition, file: &Path) -> Result<String, Error> {
    let what = format!("{} takes the mesh file", control.name());
    let file = file.display().to_string();
    let said = |line: &str| line.contains("mesh taken") || line.contains(&file);
    let line = control.wait_for_line(position, &what, PATIENCE, said)?;
    match line.split_once("generation=") {
        Some((_, version)) if line.split('\t').nth(LOG_LEVEL) == Some("info") => {
            Ok(version.chars().take_while(char::is_ascii_digit).collect())
        }
        Some(_) | None => Err(Error::Refused { program: control.name().to_owned(), line }),
    }
}

/// Waits until a proxy has a version of the mesh state; one that has ended, or takes it from elsewhere, never will.
fn has_version(program: &Program, netns: &Netns, version: &str) -> Result<(), Error> {
    let what = format!("{} has version {version} of the mesh state", program.name());
    crate::wait_until(PATIENCE, &what, || {
        !program.is_running()
            || config_dump(netns).is_some_and(|dump| {
                let xds = &dump["controlPlane"]["xds"];
                xds.is_null() || xds["version"] == version
            })
    })
}

impl State {
    pub(super) fn control(&self) -> Option<Program> {
        let is_control =
            |running: &&Running| matches!(running.role, Role::Control) && running.program.is_running();
        self.running.iter().rev().find(is_control).map(|running| running.program.clone())
    }

    fn proxies(&self) -> Vec<(Program, Arc<Netns>)> {
        let proxy = |running: &Running| match &running.role {
            Role::Proxy(_, netns) if running.program.is_running() => {
                Some((running.program.clone(), Arc::clone(netns)))
            }
            Role::Control | Role::Agent(_) | Role::Proxy(..) | Role::Other => None,
        };
        self.running.iter().filter_map(proxy).collect()
    }

    fn runs(&self, is_wanted: impl Fn(&Role) -> bool) -> bool {
        self.running.iter().any(|running| is_wanted(&running.role) && running.program.is_running())
    }

    /// The newest running proxy of a node.
    pub(super) fn proxy_of(&self, node: &str) -> Option<(Program, Arc<Netns>)> {
        self.running.iter().rev().find_map(|running| match &running.role {
            Role::Proxy(Some(name), netns) if name == node && running.program.is_running() => {
                Some((running.program.clone(), Arc::clone(netns)))
            }
            Role::Control | Role::Agent(_) | Role::Proxy(..) | Role::Other => None,
        })
    }
}

fn listens_on_any(pod: &Pod) -> bool {
    CAPTURE_PORTS.iter().any(|port| pod.listens(*port).unwrap_or(false))
}

fn config_dump(netns: &Netns) -> Option<serde_json::Value> {
    let answer = http::get(netns, ADMIN, "/config_dump").ok()?;
    serde_json::from_slice(&answer.body).ok()
}

fn has_certificate(dump: &serde_json::Value, identity: &str) -> bool {
    let certificates = dump["certificates"].as_array().map_or(&[][..], Vec::as_slice);
    certificates.iter().any(|one| one["identity"] == identity && one["state"] == "Available")
}
