//! What is in an image is enough for its program, read-only and with the rights the chart gives it; and it is nothing else.
//!
//! Containers are run by podman out of root filesystems that are assembled as the Dockerfile does.

mod image;

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use culvert_lab::{Lab, Program, http};
use serde_json::json;

use crate::harness::chart::{Container, Rendered, at, render};
use crate::harness::cluster::{ECHO, lab, programs};
use crate::harness::command::run_in;
use crate::harness::one_node::OneNode;
use crate::harness::talk::SOON;
use image::{Extras, Image};

const PROGRAMS: [&str; 3] = ["culvert-node", "culvert-agent", "culvert-control"];

#[test]
fn every_program_starts_in_its_image() {
    let rendered = render(&json!({})).unwrap();
    for program in PROGRAMS {
        let image = Image::assemble(program);
        let (arguments, expected): (&[&str], _) = match program {
            // As Istio's chart starts it, it would run.
            "culvert-node" => (&["version"], "culvert-node "),
            "culvert-agent" => (&["--version"], "culvert-agent "),
            _ => (&["--help"], "Usage: culvert-control"),
        };
        let output = image.run(&rendered.container(program), arguments);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(said.contains(expected), "{program}: {said}");
    }
}

#[test]
fn there_is_no_shell_in_an_image() {
    for program in PROGRAMS {
        let image = Image::assemble(program);
        let mut programs = executables(&image.root());
        programs.retain(|it| !it.contains("tables"));
        let mut expected = vec![program];
        if program == "culvert-agent" {
            expected.push("ipset");
        }
        programs.sort_unstable();
        expected.sort_unstable();
        assert_eq!(programs, expected, "{program}");
    }
}

#[test]
fn the_control_plane_serves_out_of_its_image() {
    let lab = lab("image-control").unwrap();
    let node = lab.node("one").unwrap();
    let data = lab.directory().join("data");
    for directory in [data.clone(), data.join("mesh"), data.join("ca")] {
        fs::create_dir(&directory).unwrap();
    }
    let tokens = data.join("tokens.yaml");
    fs::write(&tokens, "tokens: [{ token: a-long-random-text, node: one }]").unwrap();
    fs::set_permissions(&tokens, fs::Permissions::from_mode(0o600)).unwrap();
    for path in [&data, &data.join("mesh"), &data.join("ca"), &tokens] {
        chown(path, Some(65532), Some(65532)).unwrap();
    }
    let (image, rendered) = (Image::assemble("culvert-control"), render(&json!({})).unwrap());
    let extras = Extras { directories: &[(&data, "/data")], network: Some(node.netns()) };
    let words = [
        "--mesh",
        "/data/mesh",
        "--ca-dir",
        "/data/ca",
        "--tokens",
        "/data/tokens.yaml",
        "--name",
        "127.0.0.1",
    ];
    let id = image.start(&rendered.container("culvert-control"), &extras, &words);

    let root = data.join("ca/root-cert.pem").display().to_string();
    let words = [
        "openssl",
        "s_client",
        "-connect",
        "127.0.0.1:15012",
        "-verify_return_error",
        "-alpn",
        "h2",
        "-CAfile",
        &root,
    ];
    let serves = || run_in(node.netns(), &words).is_ok_and(|said| said.contains("ALPN protocol: h2"));
    wait(&lab, (&image, &id), "it serves, under the root it has made", serves);
}

/// What runs on nodes that have been given back.
#[test]
fn an_agent_that_enrols_nobody_is_ready() {
    let lab = lab("image-agent").unwrap();
    let node = lab.node("one").unwrap();
    let rendered = render(&json!({ "agent": { "takeBack": true } })).unwrap();
    let (settings, run) = (lab.directory().join("settings"), lab.directory().join("run"));
    for directory in [&settings, &run] {
        fs::create_dir(directory).unwrap();
    }
    let pods = rendered.named("ConfigMap", "culvert-agent-nothing")["data"]["pods.yaml"].as_str().unwrap();
    fs::write(settings.join("pods.yaml"), pods).unwrap();
    let image = Image::assemble("culvert-agent");
    let agent = rendered.container("culvert-agent");
    let directories: [(&Path, &str); 2] = [(&settings, "/etc/culvert"), (&run, "/var/run/ztunnel")];
    let extras = Extras { directories: &directories, network: Some(node.netns()) };
    let arguments = agent.arguments();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    // It tries its packet tools out in a namespace of its own before it says so.
    let id = image.start(&agent, &extras, &arguments);
    let is_ready = || {
        http::get(node.netns(), ([127, 0, 0, 1], 15014), "/readyz").is_ok_and(|answer| answer.status == 200)
    };
    wait(&lab, (&image, &id), "it is ready", is_ready);
}

/// The whole work: pods found among the processes, captured, served, and let go of.
#[test]
fn the_capabilities_of_the_chart_are_enough() {
    let rendered = render(&json!({})).unwrap();
    let node = OneNode::without_programs("capabilities", &["shop"]);
    let unshare = confined(&node.lab, &rendered.container("culvert-agent"), "unshare");
    node.start_agent(node.kubernetes.agent().binary(unshare));
    let program = programs().unwrap().node.display().to_string();
    let proxy = confined(&node.lab, &rendered.container("culvert-node"), &program);
    node.lab.start_node_as(&node.node, node.lab.node_launch(&node.node).unwrap().binary(proxy)).unwrap();
    node.wait("the agent is ready", || node.is_ready());
    assert_eq!(effective(&node.agent()), expected(&rendered, "culvert-agent"));
    assert_eq!(effective(&node.proxy()), expected(&rendered, "culvert-node"));

    node.kubernetes.label_namespace("shop", Some("ambient"));
    let (client, server) = (node.run("shop", "client"), node.run("shop", "server"));
    let (client, server) = (client.pod(), server.pod());
    node.wait_until_in(&[client, server]);
    for ip in server.ips() {
        assert!(!node.is_read(client, (ip, ECHO)), "{ip} is reached in clear");
    }
    node.kubernetes.label_namespace("shop", None);
    node.wait_until_out(&[client, server]);
    assert!(!client.is_captured().unwrap() && !server.is_captured().unwrap());
}

#[test]
fn the_dockerfile_makes_what_the_chart_runs() {
    let text = fs::read_to_string(at("deploy/image/Dockerfile")).unwrap();
    let stages: Vec<_> = text.split("\nFROM scratch AS ").skip(1).collect();
    let rendered = render(&json!({})).unwrap();
    assert_eq!(stages.len(), PROGRAMS.len());
    for stage in stages {
        let program = stage.split_whitespace().next().unwrap();
        let container = rendered.container(program);
        assert!(stage.contains(&format!("ENTRYPOINT [\"/usr/local/bin/{program}\"]")), "{program}");
        assert_eq!(container.it.get("command"), None, "{program} is what the image starts");
        assert!(stage.contains(&format!("COPY --from=build /images/{program}/ /")), "{program}");
        let user = if program == "culvert-control" { "USER 65532:65532" } else { "USER 0:0" };
        assert!(stage.contains(user), "{program}");
        for port in container.it["ports"].as_array().unwrap() {
            let exposed = stage.lines().find(|line| line.starts_with("EXPOSE")).unwrap();
            assert!(exposed.contains(&port["containerPort"].to_string()), "{program}: {port}");
        }
    }
}

/// A program that starts another one with the capabilities the chart gives a container, and no way to any other.
fn confined(lab: &Lab, container: &Container<'_>, program: &str) -> PathBuf {
    let names = capabilities(container).map(|it| format!(",+{}", it.to_lowercase())).collect::<String>();
    let script = lab.directory().join(format!("confined-{}", container.program()));
    let text =
        format!("#!/bin/sh\nexec setpriv --bounding-set=-all{names} --inh-caps=-all '{program}' \"$@\"\n");
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    script
}

fn capabilities<'c>(container: &Container<'c>) -> impl Iterator<Item = &'c str> {
    container.it["securityContext"]["capabilities"]["add"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it.as_str().unwrap())
}

/// The capabilities of a process that runs, as the kernel says.
#[track_caller]
fn effective(program: &Program) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", program.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap();
    u64::from_str_radix(line.trim(), 16).unwrap()
}

#[track_caller]
fn expected(rendered: &Rendered, name: &str) -> u64 {
    let number = |capability: &str| match capability {
        "NET_ADMIN" => 12,
        "NET_RAW" => 13,
        "SYS_PTRACE" => 19,
        "SYS_ADMIN" => 21,
        other => panic!("{other} is not thought of"),
    };
    capabilities(&rendered.container(name)).map(|it| 1 << number(it)).sum()
}

#[track_caller]
fn wait(lab: &Lab, (image, id): (&Image, &str), what: &str, condition: impl FnMut() -> bool) {
    if let Err(error) = lab.wait_until(SOON * 4, what, condition) {
        panic!("{error:?}\n{}", image.log(id));
    }
}

/// The names of all programs in a directory; libraries are none.
fn executables(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path: PathBuf = entry.unwrap().path();
        let metadata = fs::symlink_metadata(&path).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if metadata.is_dir() {
            found.extend(executables(&path));
        } else if metadata.is_file() && metadata.permissions().mode() & 0o111 != 0 && !name.contains(".so") {
            found.push(name);
        }
    }
    found
}
