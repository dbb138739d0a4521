//! `culvert-control` with a mesh in a directory of its own.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};

use super::changes::{self, Change};
use super::node::token;
use super::{Error, Plan};
use crate::mesh::made;

/// How long it may take to read the mesh.
const START_DEADLINE: Duration = Duration::from_secs(60);
/// How long a node waits for its connection.
const CONNECT_DEADLINE: Duration = Duration::from_secs(20);

/// The program and its files; both gone when dropped.
pub(super) struct Server {
    directory: PathBuf,
    child: Child,
    port: u16,
}

impl Server {
    /// Starts it, and waits until it serves.
    pub(super) fn start(plan: &Plan, programs: &Path) -> Result<Self, Error> {
        let directory = std::env::temp_dir().join(format!("culvert-bench-push-{}", std::process::id()));
        fs::create_dir_all(directory.join("mesh")).map_err(io("make a directory"))?;
        let started = write_all(&directory, plan).and_then(|()| spawn(&directory, programs));
        let child = started.inspect_err(|_| drop(fs::remove_dir_all(&directory)))?;
        let mut server = Self { directory, child, port: 0 };
        server.port = server.ready()?;
        Ok(server)
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where nodes connect.
    pub(super) fn endpoint(&self) -> Result<Endpoint, Error> {
        let root = fs::read(self.directory.join("ca/root-cert.pem")).map_err(io("read the root"))?;
        let tls = ClientTlsConfig::new().domain_name("localhost").ca_certificate(Certificate::from_pem(root));
        let endpoint = Endpoint::from_shared(format!("https://127.0.0.1:{}", self.port))?;
        Ok(endpoint.tls_config(tls)?.connect_timeout(CONNECT_DEADLINE))
    }

    /// Makes a change; it has been made so many times when this is over.
    pub(super) fn change(&self, change: Change, times: usize) -> Result<(), Error> {
        write(&self.directory, &format!("mesh/{}", change.file()), &change.text(times))
    }

    fn ready(&mut self) -> Result<u16, Error> {
        let output = self.child.stdout.take().expect("it was asked for");
        let (found, port) = mpsc::channel();
        // Ends with the program; nobody reads what it says later, but it must be able to say it.
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if line.contains("\tready\t") {
                    let _ = found.send(line.rsplit(':').next().and_then(|port| port.trim().parse().ok()));
                }
            }
        });
        let port = port.recv_timeout(START_DEADLINE).ok().flatten();
        port.ok_or_else(|| Error::Server { log: "no line that says `ready`".to_owned() })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn spawn(directory: &Path, programs: &Path) -> Result<Child, Error> {
    Command::new(programs.join("culvert-control"))
        .current_dir(directory)
        .args(["--mesh", "mesh", "--ca-dir", "ca", "--tokens", "tokens.yaml", "--listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .spawn()
        .map_err(io("start culvert-control"))
}

fn write_all(directory: &Path, plan: &Plan) -> Result<(), Error> {
    write(directory, "mesh/large.json", &made::file(&plan.size, 0))?;
    write(directory, "mesh/policies.json", &changes::steady_policies(&plan.size))?;
    for change in Change::ALL {
        write(directory, &format!("mesh/{}", change.file()), &change.text(0))?;
    }
    let tokens = (0..plan.nodes).map(|node| format!("- {{token: {}, node: node-{node}}}\n", token(node)));
    write(directory, "tokens.yaml", &format!("tokens:\n{}", tokens.collect::<String>()))
}

/// Replaces a file whole; only its owner may read it.
fn write(directory: &Path, name: &str, text: &str) -> Result<(), Error> {
    let new = directory.join("new");
    fs::write(&new, text).map_err(io("write a file"))?;
    fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).map_err(io("protect a file"))?;
    fs::rename(new, directory.join(name)).map_err(io("put a file in place"))
}

fn io(doing: &'static str) -> impl FnOnce(std::io::Error) -> Error {
    move |source| Error::Io { doing, source }
}
