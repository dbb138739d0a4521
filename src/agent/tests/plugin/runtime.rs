//! A container runtime on a node: calls the plugin, under its own name, as runtimes do.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

const AGENT: &str = env!("CARGO_BIN_EXE_culvert-agent");

/// A node: a directory that goes with the test.
pub(crate) struct Node(PathBuf);

impl Node {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("culvert-plugin-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        std::os::unix::fs::symlink(AGENT, path.join("culvert-cni")).unwrap();
        Self(path)
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.0.join("agent.sock")
    }

    /// Writes down which namespaces are enrolled.
    pub(crate) fn remember(&self, text: &str) {
        fs::write(self.0.join("namespaces.json"), text).unwrap();
    }

    pub(crate) fn run(&self, call: &Call) -> Output {
        self.start(call, Command::new(self.0.join("culvert-cni")))
    }

    pub(crate) fn run_as_command(&self, call: &Call) -> Output {
        let mut command = Command::new(AGENT);
        command.arg("cni");
        self.start(call, command)
    }

    /// What the runtime writes to the plugin.
    pub(crate) fn stdin(&self, call: &Call) -> String {
        if let Some(text) = &call.stdin {
            return text.clone();
        }
        let mut conf = json!({
            "cniVersion": call.version, "name": "cluster", "type": "culvert-cni",
            "agentSocket": self.socket(), "stateFile": self.0.join("namespaces.json"),
            "excludedNamespaces": ["kube-system"],
            "agentPods": {"namespace": "mesh", "namePrefix": "culvert-agent-"},
            "runtimeConfig": {"portMappings": []},
        });
        if let Some(previous) = &call.previous {
            conf["prevResult"] = json!("PREVIOUS");
            return conf.to_string().replace("\"PREVIOUS\"", previous);
        }
        conf.to_string()
    }

    fn start(&self, call: &Call, mut command: Command) -> Output {
        let started = Instant::now();
        let mut child = command
            .env_clear()
            .envs(&call.variables)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // The plugin need not read all of it, or any.
        let _ = child.stdin.take().unwrap().write_all(self.stdin(call).as_bytes());
        let output = child.wait_with_output().unwrap();
        Output {
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
            code: output.status.code().unwrap(),
            took: started.elapsed(),
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// One call of the plugin, of the pod `shop/web-0`.
#[derive(Clone)]
pub(crate) struct Call {
    variables: BTreeMap<&'static str, String>,
    version: String,
    previous: Option<String>,
    stdin: Option<String>,
}

impl Call {
    pub(crate) fn new(command: &str) -> Self {
        let variables = [
            ("CNI_COMMAND", command.to_owned()),
            ("CNI_CONTAINERID", "c1".to_owned()),
            ("CNI_NETNS", "/run/netns/cni-1".to_owned()),
            ("CNI_IFNAME", "eth0".to_owned()),
            ("CNI_PATH", "/opt/cni/bin".to_owned()),
        ];
        let call =
            Self { variables: variables.into(), version: "1.0.0".to_owned(), previous: None, stdin: None };
        call.pod("shop", "web-0")
    }

    pub(crate) fn pod(self, namespace: &str, name: &str) -> Self {
        self.arguments(&format!(
            "IgnoreUnknown=1;K8S_POD_NAMESPACE={namespace};K8S_POD_NAME={name};K8S_POD_INFRA_CONTAINER_ID=c1;K8S_POD_UID=uid-1"
        ))
    }

    pub(crate) fn arguments(mut self, text: &str) -> Self {
        self.variables.insert("CNI_ARGS", text.to_owned());
        self
    }

    pub(crate) fn without(mut self, names: &[&str]) -> Self {
        self.variables.retain(|name, _| !names.contains(name));
        self
    }

    pub(crate) fn version(self, version: &str) -> Self {
        Self { version: version.to_owned(), ..self }
    }

    /// What the plugin before has answered.
    pub(crate) fn previous(self, json: &str) -> Self {
        Self { previous: Some(json.to_owned()), ..self }
    }

    /// Something else than a configuration.
    pub(crate) fn stdin(self, text: &str) -> Self {
        Self { stdin: Some(text.to_owned()), ..self }
    }
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) code: i32,
    pub(crate) took: Duration,
}

impl Output {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Checks that it is an error of this code as the specification wants it, and returns its text.
    pub(crate) fn error(&self, code: u64) -> String {
        let error = self.json();
        assert_eq!((self.code, error["code"].as_u64()), (1, Some(code)), "{self:?}");
        assert!(error["cniVersion"].is_string(), "{self:?}");
        format!("{}: {}", error["msg"].as_str().unwrap(), error["details"].as_str().unwrap())
    }
}
