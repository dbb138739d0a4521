//! Envoy in a pod, with a configuration of `tests/peers/envoy`.

use std::fs;

use culvert_lab::{Lab, Launch, Pod, Program};

use super::certificates::Certificate;
use super::installed::installed;
use super::talk::SOON;

/// Starts an Envoy that shows a certificate and takes tunnels; `values` are for the names in its configuration.
#[track_caller]
pub(crate) fn serve_tunnels(
    lab: &Lab,
    pod: &Pod,
    certificate: &Certificate,
    configuration: &str,
    values: &[(&str, &str)],
) -> Program {
    let program = start(lab, pod, certificate, configuration, values);
    lab.wait_until(SOON, "Envoy listens", || pod.listens(15008).unwrap()).unwrap();
    program
}

/// Starts an Envoy that shows a certificate; `values` are for the names in its configuration.
#[track_caller]
pub(crate) fn start(
    lab: &Lab,
    pod: &Pod,
    certificate: &Certificate,
    configuration: &str,
    values: &[(&str, &str)],
) -> Program {
    let root = lab.root_certificate();
    let files = [("CHAIN", &certificate.chain), ("KEY", &certificate.key), ("ROOT", &root)];
    let with_files = files.iter().fold(configuration.to_owned(), |text, (name, path)| {
        text.replace(&format!("@{name}@"), &path.display().to_string())
    });
    let fill = |text: String, (name, value): &(&str, &str)| text.replace(&format!("@{name}@"), value);
    let file = lab.directory().join(format!("{}.yaml", pod.name()));
    fs::write(&file, values.iter().fold(with_files, fill)).unwrap();
    let launch = Launch::new(pod.name(), installed("envoy"), pod.netns())
        .arg("--concurrency")
        .arg(1)
        .arg("--disable-hot-restart")
        .arg("--log-level")
        .arg("warning")
        .path_arg("--config-path", &file);
    lab.start(launch).unwrap()
}
