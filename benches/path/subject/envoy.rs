//! A pair of Envoys, one in each pod's namespace: HTTP/2 CONNECT over mutual TLS, as a mesh would configure them.

use std::fs;
use std::path::{Path, PathBuf};

use culvert_lab::{Launch, Pod, Program};

use super::relay::wait_until_it_listens;
use crate::path::certificates::{Authority, CLIENT, Certificate, SERVER};
use crate::path::error::{Doing as _, Error};
use crate::path::load::{COLD, COLD_PORTS};
use crate::path::redirect::{self, CLIENT_PORT, MARK};
use crate::path::topology::Bed;

const CLIENT_CONFIGURATION: &str = include_str!("envoy/client.yaml");
const CHAIN: &str = include_str!("envoy/chain.yaml");
const TUNNEL: &str = include_str!("envoy/tunnel.yaml");
const SERVER_CONFIGURATION: &str = include_str!("envoy/server.yaml");
/// Where tunnels arrive.
const TUNNEL_PORT: u16 = 15008;
/// As many as the other proxies get.
const WORKERS: usize = 2;

/// Writes the configurations and certificates, and sets the packet rules.
pub(super) fn prepare(bed: &Bed) -> Result<(), Error> {
    let authority = Authority::create()?;
    write(bed, "root.pem", &authority.certificate().pem())?;
    write_certificate(bed, "client", &authority.issue(CLIENT)?)?;
    write_certificate(bed, "server", &authority.issue(SERVER)?)?;
    write(bed, "client.yaml", &client_configuration(bed))?;
    write(bed, "server.yaml", &at(bed, SERVER_CONFIGURATION))?;
    redirect::at_client(bed)
}

/// Each cold port has a tunnel of its own, so that its first connection finds none.
fn client_configuration(bed: &Bed) -> String {
    let cold = || (COLD..COLD + COLD_PORTS).map(|port| (format!("tunnel-{port}"), port));
    let chain = |(name, port): (String, u16)| {
        let only = format!("filter_chain_match: {{ destination_port: {port} }}");
        CHAIN.replace("@MATCH@", &only).replace("@TUNNEL@", &name)
    };
    let chains: String = cold().map(chain).collect();
    let tunnels: String = cold().map(|(name, _)| TUNNEL.replace("@TUNNEL@", &name)).collect();
    let common = "name: common";
    let chains = chains + &CHAIN.replace("@MATCH@", common).replace("@TUNNEL@", "tunnel");
    let tunnels = tunnels + &TUNNEL.replace("@TUNNEL@", "tunnel");
    at(bed, &CLIENT_CONFIGURATION.replace("@CHAINS@", &chains).replace("@TUNNELS@", &tunnels))
}

/// Fills in what depends on the cluster.
fn at(bed: &Bed, template: &str) -> String {
    let values = [
        ("@DIRECTORY@", directory(bed).display().to_string()),
        ("@SERVER@", bed.server.ip4().to_string()),
        ("@IDENTITY@", SERVER.to_owned()),
        ("@MARK@", MARK.to_string()),
        ("@CLIENT_PORT@", CLIENT_PORT.to_string()),
        ("@TUNNEL_PORT@", TUNNEL_PORT.to_string()),
    ];
    values.iter().fold(template.to_owned(), |text, (name, value)| text.replace(name, value))
}

fn write_certificate(bed: &Bed, name: &str, certificate: &Certificate) -> Result<(), Error> {
    write(bed, &format!("{name}.pem"), &certificate.signed.pem())?;
    write(bed, &format!("{name}.key"), &certificate.key.serialize_pem())
}

fn write(bed: &Bed, name: &str, text: &str) -> Result<(), Error> {
    let path = directory(bed).join(name);
    fs::write(&path, text).doing(|| format!("write {}", path.display()))
}

fn directory(bed: &Bed) -> PathBuf {
    bed.lab.directory().to_owned()
}

pub(super) fn start(bed: &Bed, program: &Path) -> Result<[Program; 2], Error> {
    let server = start_one(bed, program, &bed.server, TUNNEL_PORT)?;
    let client = start_one(bed, program, &bed.client, CLIENT_PORT)?;
    Ok([client, server])
}

fn start_one(bed: &Bed, program: &Path, pod: &Pod, port: u16) -> Result<Program, Error> {
    let configuration = directory(bed).join(format!("{}.yaml", pod.name()));
    let launch = Launch::new(&format!("envoy-{}", pod.name()), program, pod.netns())
        .arg("--concurrency")
        .arg(WORKERS)
        .arg("--disable-hot-restart")
        .arg("--log-level")
        .arg("warning")
        .path_arg("--config-path", &configuration);
    let program = bed.lab.start(launch)?;
    wait_until_it_listens(bed, pod, port)?;
    Ok(program)
}
