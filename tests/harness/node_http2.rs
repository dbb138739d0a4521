//! Node's `http2` module as HBONE client (`tests/peers/http2_client.mjs`) and server (`tests/peers/http2_server.mjs`).

use std::net::SocketAddr;

use culvert_lab::{Lab, Launch, Pod, Program};
use serde_json::{Value, json};

use super::certificates::Certificate;
use super::talk::SOON;

/// Who asks whom.
pub(crate) struct Client<'a> {
    pub(crate) lab: &'a Lab,
    pub(crate) from: &'a Pod,
    pub(crate) server: SocketAddr,
    pub(crate) certificate: &'a Certificate,
}

impl Client<'_> {
    /// Starts the client with what it shall do; the script says what there is.
    #[track_caller]
    pub(crate) fn start(&self, mut wish: Value) -> Program {
        let Certificate { chain, key } = self.certificate;
        wish["server"] = json!(self.server);
        wish["ca"] = json!(self.lab.root_certificate());
        (wish["cert"], wish["key"]) = (json!(chain), json!(key));
        run_script(self.lab, self.from, "http2_client", &wish)
    }

    /// Has it do something; what came of it.
    #[track_caller]
    pub(crate) fn run(&self, wish: Value) -> Value {
        result(&self.start(wish))
    }
}

/// A server in a pod, with a certificate, that leads to whatever is asked for; `wish` is what the script says there is.
#[track_caller]
pub(crate) fn serve_tunnels(lab: &Lab, pod: &Pod, certificate: &Certificate, mut wish: Value) -> Program {
    let Certificate { chain, key } = certificate;
    (wish["host"], wish["port"]) = (json!("::"), json!(15008));
    wish["ca"] = json!(lab.root_certificate());
    (wish["cert"], wish["key"]) = (json!(chain), json!(key));
    let program = run_script(lab, pod, "http2_server", &wish);
    lab.wait_until(SOON, "Node listens", || pod.listens(15008).unwrap()).unwrap();
    program
}

/// The same for everybody in the pod, in clear.
#[track_caller]
pub(crate) fn serve_in_clear(lab: &Lab, pod: &Pod, port: u16) -> Program {
    let program = run_script(lab, pod, "http2_server", &json!({ "host": "127.0.0.1", "port": port }));
    lab.wait_until(SOON, "Node listens", || pod.listens(port).unwrap()).unwrap();
    program
}

#[track_caller]
fn run_script(lab: &Lab, pod: &Pod, script: &str, wish: &Value) -> Program {
    let file = format!("{}/peers/{script}.mjs", env!("CARGO_MANIFEST_DIR"));
    let launch = Launch::new(&format!("{}-{script}", pod.name()), "node", pod.netns()).arg(file).arg(wish);
    lab.start(launch).unwrap_or_else(|error| panic!("{error:?}; make test installs Node"))
}

/// What came of what a client did.
#[track_caller]
pub(crate) fn result(program: &Program) -> Value {
    let status = program.wait_for_exit(SOON * 9).unwrap();
    let said = program.log_text();
    assert!(status.success(), "{said}");
    let last = said.lines().last().unwrap_or_default();
    serde_json::from_str(last).unwrap_or_else(|_| panic!("no result: {said}"))
}
