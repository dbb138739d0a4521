//! Gives the YAML files of pages to the programs that read them.

use std::path::Path;

use culvert_lab::{Lab, Launch, Node};
use serde_json::Value;

use super::markdown::{Block, Page};
use super::{Flaws, objects, programs};
use crate::harness::cluster::lab;
use crate::harness::command::run_in;
use crate::harness::talk::SOON;

/// What the top of a file says about who reads it.
const OF_A_MESH: [&str; 3] = ["workloads", "services", "policies"];
/// Parts of a pod: only looked through for names, elsewhere.
const OF_A_POD: &str = "env";

/// Files that are not taken, or that nobody reads.
pub(super) fn taken(pages: &[Page]) -> Flaws {
    let lab = lab("docs-files").unwrap();
    let node = lab.node("laptop").unwrap();
    let mut flaws = Vec::new();
    let mut number = 0;
    for (page, block) in pages.iter().flat_map(|page| page.blocks.iter().map(move |block| (page, block))) {
        if block.language != "yaml" {
            continue;
        }
        number += 1;
        let file = lab.directory().join(format!("{number}.yaml"));
        write(&file, &block.text);
        let result = read(&lab, &node, block, &file);
        flaws.extend(result.err().map(|flaw| format!("{}:{}: {flaw}", page.path, block.line)));
    }
    assert!(number > 10, "files are found: {number}");
    flaws
}

fn read(lab: &Lab, node: &Node, block: &Block, file: &Path) -> Result<(), String> {
    let documents = objects::documents(&block.text)?;
    let has = |key: &str| documents.iter().any(|document| document.get(key).is_some());
    if documents.iter().any(Value::is_array) || documents.is_empty() {
        return Err("nobody reads a list, or nothing".to_owned());
    }
    if has("kind") || has(OF_A_POD) {
        return Ok(());
    }
    if block.file().is_none() {
        return Err("no program reads this; begin a file with its name, `# NAME.yaml`".to_owned());
    }
    let program = |name: &str| programs::directory().join(name).display().to_string();
    let path = file.display().to_string();
    if OF_A_MESH.into_iter().any(has) {
        return run_in(node.netns(), &[&program("culvert-control"), "check", "--mesh", &path]).map(|_| ());
    }
    if has("tokens") {
        return starts(lab, control(lab, node, file), "ready");
    }
    if has("pods") {
        let socket = lab.directory().join("nodes.sock");
        let agent = Launch::new("agent", program("culvert-agent"), node.netns());
        return starts(
            lab,
            agent.path_arg("--pods", file).path_arg("--socket", &socket),
            "following the pods file",
        );
    }
    Err("no program reads a file with such keys".to_owned())
}

/// A control plane of nothing, to be asked by those who have these tokens.
fn control(lab: &Lab, node: &Node, tokens: &Path) -> Launch {
    let mesh = lab.directory().join("nothing.yaml");
    write(&mesh, "{}");
    let control = Launch::new("control", programs::directory().join("culvert-control"), node.netns());
    let control = control.path_arg("--mesh", &mesh).path_arg("--ca-dir", &lab.directory().join("ca"));
    control.path_arg("--tokens", tokens).arg("--listen").arg("127.0.0.1:0")
}

fn starts(lab: &Lab, launch: Launch, says: &str) -> Result<(), String> {
    let program = lab.start(launch).unwrap();
    let said = program.wait_for_log(says, SOON).map(|_| ()).map_err(|error| error.to_string());
    let ended = program.stop().map(|_| ()).map_err(|error| error.to_string());
    said.and(ended)
}

fn write(file: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(file, text).unwrap();
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
}
