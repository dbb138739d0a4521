//! Runs the program in a directory of its own and talks to it as a node does.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use culvert_proto::ca::IstioCertificateRequest;
use culvert_proto::ca::istio_certificate_service_client::IstioCertificateServiceClient;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use prost_types::value::Kind;
use prost_types::{Struct, Value};
use rcgen::{CertificateParams, KeyPair};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Status};

pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

/// The files of one mesh; gone when the test ends.
pub(crate) struct Dir(PathBuf);

impl Dir {
    /// Two nodes with a workload each; a token for node a, one for node b, one for an identity.
    pub(crate) fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("culvert-control-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        let dir = Self(dir);
        dir.write("mesh.yaml", &mesh(&[("web", "a"), ("db", "b")]));
        dir.write(
            "tokens.yaml",
            "tokens:\n- {token: token-a, node: a}\n- {token: token-b, node: b}\n\
             - {token: token-edge, identity: 'spiffe://cluster.local/ns/edge/sa/proxy'}\n",
        );
        dir
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Replaces a file whole; only its owner may read it.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let new = self.path("new");
        fs::write(&new, text).unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).unwrap();
        fs::rename(new, self.path(name)).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    pub(crate) fn mode(&self, name: &str) -> u32 {
        fs::metadata(self.path(name)).unwrap().permissions().mode() & 0o7777
    }

    /// The program with these arguments alone.
    pub(crate) fn program(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_culvert-control"))
            .args(arguments)
            .current_dir(&self.0)
            .output()
            .unwrap()
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_culvert-control"));
        command.args(["--name", "control.example"]);
        // A test that wants a directory makes it.
        let mesh = if self.path("mesh").is_dir() { "mesh" } else { "mesh.yaml" };
        for (flag, name) in [("--mesh", mesh), ("--ca-dir", "ca"), ("--tokens", "tokens.yaml")] {
            command.arg(flag).arg(self.path(name));
        }
        command.env_remove("RUST_LOG").env_remove("LOG_FORMAT");
        command
    }

    /// Runs the program where it is expected to end by itself.
    pub(crate) fn run(&self, more: &[&str]) -> Output {
        self.command().args(more).output().unwrap()
    }

    /// Runs the program and waits until it serves.
    pub(crate) fn start(&self) -> Control {
        let mut control = Control::start(self.command().args(["--listen", "127.0.0.1:0"]));
        control.wait_until_ready();
        control.root = self.read("ca/root-cert.pem");
        control
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A mesh file with workloads of these service accounts on these nodes.
pub(crate) fn mesh(workloads: &[(&str, &str)]) -> String {
    let entry = |(account, node): &(&str, &str)| {
        format!(
            "- {{uid: {account}, name: {account}, namespace: ns, serviceAccount: {account}, node: {node}, \
             workloadIps: [10.0.0.1], services: {{}}}}\n"
        )
    };
    format!("workloads:\n{}", workloads.iter().map(entry).collect::<String>())
}

/// The identity of a service account of [`mesh`].
pub(crate) fn id(account: &str) -> String {
    format!("spiffe://cluster.local/ns/ns/sa/{account}")
}

/// A running program; killed when dropped.
pub(crate) struct Control {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    port: u16,
    /// The root certificate at the start.
    root: String,
}

impl Control {
    /// Runs a program, whether or not it will serve.
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let log = Arc::clone(&lines);
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                log.lock().unwrap().push(line);
            }
        });
        Self { child, lines, port: 0, root: String::new() }
    }

    /// Waits until it serves.
    pub(crate) fn wait_until_ready(&mut self) {
        let ready = self.logged("\tready\t");
        self.port = ready.rsplit(':').next().unwrap().parse().unwrap();
    }

    /// Waits for a log line with this text.
    #[track_caller]
    pub(crate) fn logged(&self, text: &str) -> String {
        self.logged_times(text, 1).remove(0)
    }

    /// Waits until there are this many log lines with this text; gives them.
    #[track_caller]
    pub(crate) fn logged_times(&self, text: &str, times: usize) -> Vec<String> {
        let start = Instant::now();
        loop {
            let lines = self.lines.lock().unwrap().clone();
            let found: Vec<_> = lines.iter().filter(|line| line.contains(text)).cloned().collect();
            if found.len() >= times {
                return found;
            }
            assert!(start.elapsed() < DEADLINE, "no {times} lines with {text:?} in {lines:#?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// How many log lines with this text there are by now.
    pub(crate) fn count(&self, text: &str) -> usize {
        self.lines.lock().unwrap().iter().filter(|line| line.contains(text)).count()
    }

    /// Trusts other roots from now on.
    pub(crate) fn trust(&mut self, roots: &str) {
        roots.clone_into(&mut self.root);
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn root(&self) -> &str {
        &self.root
    }

    /// Connects to the program under one of its names.
    pub(crate) async fn connect(&self, name: &str) -> Result<Channel, tonic::transport::Error> {
        self.endpoint(name).connect().await
    }

    /// How to connect to it.
    pub(crate) fn endpoint(&self, name: &str) -> Endpoint {
        let tls = ClientTlsConfig::new().domain_name(name).ca_certificate(Certificate::from_pem(&self.root));
        let url = format!("https://127.0.0.1:{}", self.port);
        Endpoint::from_shared(url).unwrap().tls_config(tls).unwrap().connect_timeout(DEADLINE)
    }

    /// Asks for a certificate.
    pub(crate) async fn ask(&self, ask: Ask<'_>) -> Result<Vec<String>, Status> {
        let channel = self.connect("localhost").await.unwrap();
        Self::ask_over(channel, ask).await
    }

    /// Asks over this connection.
    pub(crate) async fn ask_over(channel: Channel, ask: Ask<'_>) -> Result<Vec<String>, Status> {
        let mut request = Request::new(IstioCertificateRequest {
            csr: ask.csr.map_or_else(csr, str::to_owned),
            validity_duration: ask.ttl,
            metadata: ask.identity.map(|identity| Struct {
                fields: BTreeMap::from([(
                    "ImpersonatedIdentity".to_owned(),
                    Value { kind: Some(Kind::StringValue(identity.to_owned())) },
                )]),
            }),
        });
        request.set_timeout(DEADLINE);
        if let Some(token) = ask.token {
            request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        let answer = IstioCertificateServiceClient::new(channel).create_certificate(request).await?;
        Ok(answer.into_inner().cert_chain)
    }

    /// Asks again and again, while a change of a file finds its way, until the answer is as wanted.
    pub(crate) async fn ask_until(&self, ask: Ask<'_>, wanted: fn(&Result<Vec<String>, Status>) -> bool) {
        let start = Instant::now();
        loop {
            let answer = self.ask(ask).await;
            if wanted(&answer) {
                return;
            }
            assert!(start.elapsed() < DEADLINE, "{answer:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// How many files it may have open: as it is, and as it could be.
    pub(crate) fn open_files(&self) -> [String; 2] {
        let limits = fs::read_to_string(format!("/proc/{}/limits", self.child.id())).unwrap();
        let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
        let columns: Vec<_> = line.split_whitespace().collect();
        [columns[3].to_owned(), columns[4].to_owned()]
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    /// Ends the program as an operator does.
    pub(crate) async fn stop(self, signal: Signal) -> ExitStatus {
        self.signal(signal);
        self.ended().await
    }

    /// Waits until it has ended.
    pub(crate) async fn ended(mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(start.elapsed() < DEADLINE, "it does not stop");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What to ask for; the default is a good request without token and identity.
#[derive(Clone, Copy, Default)]
pub(crate) struct Ask<'a> {
    pub(crate) token: Option<&'a str>,
    pub(crate) identity: Option<&'a str>,
    pub(crate) csr: Option<&'a str>,
    pub(crate) ttl: i64,
}

/// A request with a name that must not matter.
fn csr() -> String {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["evil.example".to_owned()]).unwrap();
    params.serialize_request(&key).unwrap().pem().unwrap()
}
