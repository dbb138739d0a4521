//! Runs the commands of pages as somebody on a laptop would type them: in a directory of their own, one block after the other.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use culvert_lab::{Lab, Launch, Node};

use super::markdown::{Block, Marker, Page};
use super::{Flaws, programs};
use crate::harness::cluster::lab;
use crate::harness::command::output_in;
use crate::harness::talk::SOON;

/// A machine, and the directory somebody is in.
struct Laptop<'a> {
    lab: &'a Lab,
    node: &'a Node,
    directory: PathBuf,
}

/// Runs whatever can be run here.
pub(super) fn run(pages: &[Page]) -> Flaws {
    let lab = lab("docs").unwrap();
    let node = lab.node("laptop").unwrap();
    let mut flaws = Vec::new();
    let mut count = 0;
    for page in pages.iter().filter(|page| !page.is_tried_elsewhere()) {
        let directory = lab.directory().join(page.path.replace('/', "-"));
        write_files(page, &directory);
        let laptop = Laptop { lab: &lab, node: &node, directory };
        for block in
            page.blocks.iter().filter(|block| block.is_shell() && block.marker != Some(Marker::NotHere))
        {
            count += 1;
            let result = laptop.run(block);
            flaws.extend(result.err().map(|flaw| format!("{}:{}: {flaw}", page.path, block.line)));
        }
    }
    assert!(count >= 6, "blocks that are run: {count}");
    flaws
}

/// Writes the files a page shows into a directory.
pub(super) fn write_files(page: &Page, directory: &Path) {
    fs::create_dir(directory).unwrap();
    for block in &page.blocks {
        let Some(name) = block.file() else { continue };
        let path = directory.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, format!("{}\n", block.text)).unwrap();
        // As the files themselves say of those with secrets in them.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
}

impl Laptop<'_> {
    fn run(&self, block: &Block) -> Result<(), String> {
        match (&block.marker, &*block.language) {
            (Some(Marker::Until(text)), _) => self.run_until(&block.text, text),
            (_, "console") => self.compare(&block.text),
            (_, shell) => self.type_in(shell, &block.text).map(|_| ()),
        }
    }

    /// Runs commands to their end; gives back what they said.
    fn type_in(&self, shell: &str, commands: &str) -> Result<String, String> {
        let (directory, path) = (self.directory.display().to_string(), programs::path());
        let words = ["env", "-C", &directory, &path, shell, "-euc", commands];
        let output = output_in(self.node.netns(), &words);
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        if output.status.success() { Ok(said) } else { Err(format!("{}: {said}", output.status)) }
    }

    /// Types each line after a prompt, and compares what is said with what is written.
    fn compare(&self, text: &str) -> Result<(), String> {
        for dialogue in format!("\n{text}").split("\n$ ").skip(1) {
            let (command, expected) = dialogue.split_once('\n').unwrap_or((dialogue, ""));
            let said = self.type_in("sh", command)?;
            if said.trim_end() != expected.trim_end() {
                return Err(format!("`{command}` says:\n{said}and not:\n{expected}"));
            }
        }
        Ok(())
    }

    /// Runs a single command until it has said something, and ends it.
    fn run_until(&self, command: &str, text: &str) -> Result<(), String> {
        let command = format!("exec {command}");
        let launch = Launch::new("typed", "env", self.node.netns());
        let launch = launch.arg("-C").arg(self.directory.display()).arg(programs::path());
        let program = self.lab.start(launch.arg("sh").arg("-euc").arg(command)).unwrap();
        program.wait_for_log(text, SOON).map_err(|error| error.to_string())?;
        let status = program.stop().map_err(|error| error.to_string())?;
        if status.success() { Ok(()) } else { Err(format!("{status}: {}", program.log_text())) }
    }
}
