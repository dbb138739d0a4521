//! nghttpx as HBONE server. It only takes the tunnels: where a CONNECT leads is up to the server behind it, which is
//! [Node's](super::node_http2). It does not pass on that a client has sent all, whatever is behind it.

use culvert_lab::{Lab, Launch, Pod, Program};

use super::certificates::Certificate;
use super::node_http2::serve_in_clear;
use super::talk::SOON;

/// Where the server behind it listens.
const BEHIND: u16 = 15080;

/// Starts nghttpx in a pod, and what is behind it. Its log has a line for each CONNECT.
#[track_caller]
pub(crate) fn start(lab: &Lab, pod: &Pod, certificate: &Certificate) -> Program {
    serve_in_clear(lab, pod, BEHIND);
    let launch = Launch::new(pod.name(), "nghttpx", pod.netns())
        .arg("--conf=/dev/null")
        .arg("--workers=1")
        .arg("--no-ocsp")
        .arg("--http2-proxy")
        .arg("--frontend=*,15008")
        .arg(format!("--backend=127.0.0.1,{BEHIND};;proto=h2"))
        // Connections, and streams on them. The default is 8.
        .arg("--backend-connections-per-host=1000")
        .arg("--tls-min-proto-version=TLSv1.3")
        .arg("--verify-client")
        .arg(format!("--verify-client-cacert={}", lab.root_certificate().display()))
        .arg("--accesslog-file=/dev/stderr")
        .arg(certificate.key.display())
        .arg(certificate.chain.display());
    let program = lab.start(launch).unwrap_or_else(|error| panic!("{error:?}; make test installs nghttpx"));
    lab.wait_until(SOON, "nghttpx listens", || pod.listens(15008).unwrap()).unwrap();
    program
}
