//! Who is there: the victim's two pods with Culvert between them, and who attacks from where.
//!
//! ```text
//!  node a                                 node b
//!  client (victim) ══════════════════════ server (victim)
//!  beside (in the mesh)                   neighbour (in the mesh, accomplice)
//!  outside (not in the mesh)              elsewhere (not in the mesh, accomplice)
//! ```

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use culvert_lab::{Launch, PATIENCE, Pod, PodSpec, Program};

use super::accomplice;
use super::attack::{Attack, BEGUN, Job, Toll};
use crate::memory;
use crate::path::certificates;
use crate::path::error::{Doing as _, Error};
use crate::path::topology::{self, Bed};
use crate::path::turns::windows::descriptors;

/// Where tunnels arrive.
const TUNNELS: u16 = 15008;
/// Somebody of the mesh that is not there otherwise.
const MEMBER: &str = "spiffe://cluster.local/ns/default/sa/attacker";
/// How long a node may take to let go of what an attacker held.
const RECOVERY: Duration = Duration::from_secs(20);
/// How long memory may take to fall.
const SETTLE: Duration = Duration::from_secs(3);
/// Descriptors that come and go by themselves: tunnels that are kept for a while among them.
const ABOUT: u64 = 200;

/// All of it, running.
pub(super) struct Scene {
    pub(super) bed: Bed,
    nodes: [Program; 2],
    beside: Pod,
    outside: Pod,
    neighbour: Pod,
    elsewhere: Pod,
    identity: [PathBuf; 2],
    /// Descriptors of the nodes before any attack.
    usual: [u64; 2],
}

impl Scene {
    pub(super) fn make(programs: &Path) -> Result<Self, Error> {
        let bed = Bed::make("attacked", Some(topology::programs(programs)?))?;
        let pod =
            |node: usize, name: &str| bed.lab.pod(&bed.nodes[node], PodSpec::new(name).service_account(name));
        let (beside, outside) = (pod(0, "beside")?, pod(0, "outside")?);
        let (neighbour, elsewhere) = (pod(1, "neighbour")?, pod(1, "elsewhere")?);
        for pod in [&neighbour, &elsewhere] {
            let name = format!("accomplice-{}", pod.name());
            let launch = Launch::new(&name, topology::own_program()?, pod.netns()).arg("help-attack");
            bed.lab.start(launch)?.wait_for_log(accomplice::READY, PATIENCE)?;
        }
        bed.lab.enrol_all(&[&bed.client, &bed.server, &beside, &neighbour])?;
        bed.lab.start_mesh()?;
        bed.wait_until_it_carries()?;
        let nodes = bed.nodes.each_ref().map(|node| bed.lab.proxy(node).expect("the mesh was started"));
        let identity = member(&bed)?;
        let usual = nodes.each_ref().map(|node| descriptors(node.pid()));
        Ok(Self { bed, nodes, beside, outside, neighbour, elsewhere, identity, usual })
    }

    /// The victim's nodes.
    pub(super) fn nodes(&self) -> [u32; 2] {
        self.nodes.each_ref().map(Program::pid)
    }

    /// Starts an attack and waits until it has begun.
    pub(super) fn begin(&self, attack: Attack) -> Result<Program, Error> {
        let tunnels = |pod: &Pod| (pod.ip4(), TUNNELS).into();
        let accomplice = |pod: &Pod| (pod.ip4(), accomplice::PORT).into();
        let (from, to) = match attack {
            Attack::Hold => (&self.beside, accomplice(&self.elsewhere)),
            Attack::Bypass => (&self.outside, accomplice(&self.elsewhere)),
            Attack::Churn => (&self.beside, accomplice(&self.neighbour)),
            Attack::Silent => (&self.outside, tunnels(&self.bed.server)),
            Attack::Streams | Attack::Resets => (&self.outside, tunnels(&self.neighbour)),
        };
        let authority = accomplice(&self.neighbour);
        let job = Job { attack, to, authority, identity: self.identity.clone() };
        let job = serde_json::to_string(&job).expect("a job is plain data");
        let launch = Launch::new("attacker", topology::own_program()?, from.netns());
        let attacker = self.bed.lab.start(launch.arg("attack").arg(job))?;
        attacker.wait_for_log(BEGUN, PATIENCE)?;
        Ok(attacker)
    }

    /// Ends an attack; tells what it got.
    pub(super) fn end(attacker: &Program) -> Result<Toll, Error> {
        attacker.terminate()?;
        let status = attacker.wait_for_exit(PATIENCE)?;
        let said = attacker.log_text();
        let toll = said.lines().find(|line| line.starts_with('{'));
        toll.and_then(|line| serde_json::from_str(line).ok()).ok_or_else(|| Error::NoResult {
            subject: "the attack".to_owned(),
            output: format!("{status}: {}", said.trim()),
        })
    }

    /// Waits until the nodes have let go of what the attacker held, though not for ever; tells how long that took.
    pub(super) fn recover(&self) -> Duration {
        let began = Instant::now();
        let is_usual = || {
            let all = self.nodes().into_iter().zip(self.usual);
            all.into_iter().all(|(node, usual)| descriptors(node) <= usual + ABOUT)
        };
        // What is held for longer shows in the time, and in the figures for what is there afterwards.
        let _ = culvert_lab::wait_until(RECOVERY, "the nodes let go of the attacker's connections", is_usual);
        began.elapsed()
    }

    /// MB and descriptors of each node, once they have settled.
    pub(super) fn settled(&self) -> [(f64, u64); 2] {
        let resident = memory::settled(self.nodes(), SETTLE);
        let descriptors = self.nodes().map(descriptors);
        [(resident[0], descriptors[0]), (resident[1], descriptors[1])]
    }
}

/// Writes a certificate that the mesh's own authority could have issued, and its key.
fn member(bed: &Bed) -> Result<[PathBuf; 2], Error> {
    let authority = bed.lab.root_certificate();
    let read = |path: &Path| fs::read_to_string(path).doing(|| format!("read {}", path.display()));
    let (root, key) = (read(&authority)?, read(&authority.with_file_name("root-key.pem"))?);
    let certificate = certificates::issue_as(&root, &key, MEMBER)?;
    let write = |name: &str, text: String| {
        let path = bed.lab.directory().join(name);
        fs::write(&path, text).doing(|| format!("write {}", path.display()))?;
        Ok::<_, Error>(path)
    };
    let signed = write("attacker.pem", certificate.signed.pem())?;
    Ok([signed, write("attacker.key", certificate.key.serialize_pem())?])
}
