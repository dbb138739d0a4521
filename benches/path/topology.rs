//! What all subjects have in common: two nodes, a pod on each, and the wire between.
//!
//! Each subject gets a cluster of its own, alike to the last address, so that none finds what another left behind.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use culvert_lab::{Lab, Launch, Node, PATIENCE, Pod, PodSpec, Program, Programs};

use super::error::{Doing as _, Error};
use super::load::{self, Job, OPENED, Outcome, Work};
use super::wire;

/// How long a client may take beyond the time it was given.
const GRACE: Duration = Duration::from_secs(60);

/// A cluster with the load generator's server in it.
pub(super) struct Bed {
    pub(super) subject: String,
    pub(super) lab: Lab,
    /// The client's node and the server's.
    pub(super) nodes: [Node; 2],
    pub(super) client: Pod,
    pub(super) server: Pod,
}

impl Bed {
    /// Makes it and starts the server.
    pub(super) fn make(subject: &str, programs: Option<Programs>) -> Result<Self, Error> {
        let lab = Lab::new(&format!("bench-{subject}"))?;
        let lab = match programs {
            Some(programs) => lab.with_programs(programs),
            None => lab,
        };
        let nodes = [lab.node("a")?, lab.node("b")?];
        let client = lab.pod(&nodes[0], PodSpec::new("client").service_account("client"))?;
        let server = lab.pod(&nodes[1], PodSpec::new("server").service_account("server"))?;
        wire::set_up(&nodes, &client, &server)?;
        let bed = Self { subject: subject.to_owned(), lab, nodes, client, server };
        let program =
            bed.lab.start(Launch::new("load-server", own_program()?, bed.server.netns()).arg("serve"))?;
        program.wait_for_log(load::server::READY, PATIENCE)?;
        Ok(bed)
    }

    /// The server's address.
    pub(super) fn to(&self, port: u16) -> SocketAddr {
        (self.server.ip4(), port).into()
    }

    /// Has the client carry out some work to its end.
    pub(super) fn drive(&self, work: Work, warm: Duration, length: Duration) -> Result<Outcome, Error> {
        let program = self.start_client(work, warm, length)?;
        self.outcome_of(&program, warm + length + GRACE)
    }

    /// Has the client open connections and keep them while `look` is called.
    pub(super) fn while_idle<T>(
        &self,
        connections: usize,
        look: impl FnOnce() -> T,
    ) -> Result<(T, Outcome), Error> {
        let program = self.start_client(Work::Idle { connections }, Duration::ZERO, GRACE)?;
        program.wait_for_log(OPENED, GRACE)?;
        let seen = look();
        program.terminate()?;
        Ok((seen, self.outcome_of(&program, GRACE)?))
    }

    fn start_client(&self, work: Work, warm: Duration, length: Duration) -> Result<Program, Error> {
        let job = Job { server: IpAddr::V4(self.server.ip4()), work, warm, length };
        let job = serde_json::to_string(&job).expect("a job is plain data");
        let launch = Launch::new("load-client", own_program()?, self.client.netns());
        Ok(self.lab.start(launch.arg("drive").arg(job))?)
    }

    fn outcome_of(&self, client: &Program, patience: Duration) -> Result<Outcome, Error> {
        let status = client.wait_for_exit(patience)?;
        let said = client.log_text();
        let json = said.lines().find(|line| line.starts_with('{')).filter(|_| status.success());
        let outcome = json.and_then(|line| serde_json::from_str(line).ok());
        outcome.ok_or_else(|| Error::NoResult {
            subject: self.subject.clone(),
            output: format!("{status}: {}", said.trim()),
        })
    }

    /// Waits until a request from the client's pod is answered.
    pub(super) fn wait_until_it_carries(&self) -> Result<(), Error> {
        let what = format!("{} carries a request", self.subject);
        Ok(self
            .lab
            .wait_until(PATIENCE, &what, || self.first_byte(&self.client, self.to(load::SHORT)).is_ok())?)
    }

    /// Connects from a pod and asks for one byte; tells how long that took.
    pub(super) fn first_byte(&self, from: &Pod, to: SocketAddr) -> Result<Duration, Error> {
        let began = Instant::now();
        let ask = || {
            let mut stream = from.connect(to, Duration::from_secs(5))?;
            std::io::Write::write_all(&mut stream, b"c")?;
            std::io::Read::read_exact(&mut stream, &mut [0])
        };
        ask().doing(|| format!("get an answer from {to} through {}", self.subject))?;
        Ok(began.elapsed())
    }
}

/// This program, to be started again for another part of the work.
pub(super) fn own_program() -> Result<PathBuf, Error> {
    std::env::current_exe().doing(|| "find this program's own file".into())
}

/// The programs of a directory; all must be there.
pub(super) fn programs(directory: &Path) -> Result<Programs, Error> {
    let programs = Programs::from_directory(directory);
    for program in [&programs.node, &programs.agent, &programs.control] {
        if !program.exists() {
            let path = program.display().to_string();
            return Err(Error::Missing { path, remedy: "build it, or say with --programs where it is" });
        }
    }
    Ok(programs)
}
