//! Trouble with the control plane: every step of the way there, its certificate, and clocks.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use culvert_lab::{Lab, Node, socket};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;

use super::{Answer, Preflight};
use crate::harness::cluster::lab;
use crate::harness::pki::{DAY, Issuer, Life};

/// A control plane's host, the node, and who signs.
struct Rig {
    lab: Lab,
    node: Node,
    mesh: Issuer,
}

impl Rig {
    fn new(name: &str) -> Self {
        let lab = lab(name).unwrap();
        let node = lab.node("one").unwrap();
        let rig = Self { lab, node, mesh: Issuer::root("the mesh") };
        fs::write(rig.root_file(), rig.mesh.pem()).unwrap();
        rig
    }

    fn root_file(&self) -> std::path::PathBuf {
        self.lab.directory().join("root.pem")
    }

    fn listen(&self) -> (TcpListener, SocketAddr) {
        let listener = socket::listen(self.lab.control_netns(), 0).unwrap();
        let port = listener.local_addr().unwrap().port();
        (listener, (self.lab.control_address().ip(), port).into())
    }

    /// Shakes hands with whoever comes, with a certificate of this issuer, for this host, of this life.
    fn serve(&self, issuer: &Issuer, host: &str, life: Life) -> SocketAddr {
        let certificate = issuer.server_named(host, life);
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(certificate.chain, certificate.key)
            .unwrap();
        let (config, (listener, address)) = (Arc::new(config), self.listen());
        std::thread::spawn(move || {
            while let Ok((mut tcp, _)) = listener.accept() {
                let mut tls = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
                // Whoever looks may leave whenever it likes.
                while tls.is_handshaking() && tls.complete_io(&mut tcp).is_ok() {}
            }
        });
        address
    }

    #[track_caller]
    fn check(&self, address: &str) -> Answer {
        let root = self.root_file().display().to_string();
        let words = ["--only", "control-plane", "--xds", address, "--root", &root];
        Preflight::new(&self.lab).say(&words).run(&self.node)
    }
}

fn today() -> Life {
    Life::of(DAY)
}

#[test]
fn each_step_on_the_way_to_the_control_plane_has_its_own_remedy() {
    let rig = Rig::new("check-reach");
    let (silent, address) = rig.listen();
    let closed = SocketAddr::new(address.ip(), 1).to_string();
    let remedy = rig.check(&closed).assert_found("xds", "problem", "refused");
    assert!(remedy.contains(&closed), "{remedy}");
    let remedy =
        rig.check("no-such-host.invalid:15012").assert_found("xds", "problem", "cannot be looked up");
    assert!(remedy.contains("getent hosts no-such-host.invalid"), "{remedy}");
    rig.check("15012").assert_found("xds", "problem", "is no address");
    let speaks = std::thread::spawn(move || {
        use std::io::Write as _;
        let (mut client, _) = silent.accept().unwrap();
        client.write_all(b"220 smtp.example ready\r\n").unwrap();
        client
    });
    rig.check(&address.to_string()).assert_found("xds", "problem", "does not speak TLS");
    speaks.join().unwrap();
}

#[test]
fn certificates_a_node_would_not_trust_are_explained() {
    let rig = Rig::new("check-trust");
    let host = rig.lab.control_address().ip().to_string();
    let (now, hour) = (SystemTime::now(), Duration::from_secs(3600));
    let address = rig.serve(&rig.mesh, &host, today()).to_string();
    rig.check(&address).assert_found("xds-certificate", "ok", "CN=the mesh");

    let address = rig.serve(&Issuer::root("a stranger"), &host, today()).to_string();
    let remedy =
        rig.check(&address).assert_found("xds-certificate", "problem", "CN=a stranger, which is not among");
    assert!(remedy.contains("XDS_ROOT_CA") && remedy.contains("CN=a stranger"), "{remedy}");

    let expired = Life { from: now - DAY, until: now - hour };
    let address = rig.serve(&rig.mesh, &host, expired).to_string();
    rig.check(&address).assert_found("xds-certificate", "problem", "has expired");

    let address = rig.serve(&rig.mesh, "somebody.else", today()).to_string();
    let remedy = rig.check(&address).assert_found("xds-certificate", "problem", "it is for somebody.else");
    assert!(remedy.contains("ALT_XDS_HOSTNAME"), "{remedy}");

    let nearly = Life { from: now - DAY, until: now + hour };
    let address = rig.serve(&rig.mesh, &host, nearly).to_string();
    rig.check(&address).assert_found("xds-certificate", "warning", "until");

    fs::write(rig.root_file(), "nothing").unwrap();
    rig.check(&address).assert_found("xds-certificate", "problem", "there is no certificate in it");
}

#[test]
fn a_clock_that_is_behind_is_told_by_the_certificate() {
    let rig = Rig::new("check-clock");
    let (now, hour) = (SystemTime::now(), Duration::from_secs(3600));
    let host = rig.lab.control_address().ip().to_string();
    let address = rig.serve(&rig.mesh, &host, Life { from: now + hour, until: now + DAY }).to_string();
    let answer = rig.check(&address);
    answer.assert_found("xds-certificate", "problem", "not valid before");
    let remedy =
        answer.assert_found("clock-skew", "problem", "before the control plane's certificate begins");
    assert!(remedy.contains("chronyc makestep"), "{remedy}");
}

#[test]
fn settings_are_taken_from_the_node_that_runs() {
    let rig = Rig::new("check-environment");
    let host = rig.lab.control_address().ip().to_string();
    let address = rig.serve(&rig.mesh, &host, today()).to_string();
    let launch = culvert_lab::Launch::new("like-a-node", "/bin/sleep", rig.node.netns());
    let launch = launch.arg("600").env("XDS_ADDRESS", format!("https://{address}"));
    let node = rig.lab.start(launch.env("XDS_ROOT_CA", rig.root_file().display())).unwrap();
    // Its environment is there once it has become the program.
    let runs =
        || fs::read_to_string(format!("/proc/{}/comm", node.pid())).is_ok_and(|name| name == "sleep\n");
    rig.lab.wait_until(Duration::from_secs(10), "it runs", runs).unwrap();
    let pid = node.pid().to_string();
    let answer = Preflight::new(&rig.lab).say(&["--only", "control-plane", "--env-of", &pid]).run(&rig.node);
    answer.assert_found("xds", "ok", &address);
    answer.assert_found("xds-certificate", "ok", "CN=the mesh");
    answer.assert_found("ca", "unknown", "CA_ADDRESS is not set");
}
