//! Two builds of one source are compared by a script. Here it is given small programs that have something of where they were built in them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::at;

/// What each program has in it besides its name: nothing but code whose place has a name of its own, or an expression.
const PROGRAMS: [(&str, &str); 4] = [
    ("same", "made()"),
    ("dated", "env!(\"DAY\")"),
    ("signed", "option_env!(\"USER\").unwrap_or_default()"),
    ("placed", "env!(\"BUILT_IN\")"),
];

const BUILD_SCRIPT: &str = r##"
use std::time::SystemTime;

fn main() {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    println!("cargo::rustc-env=DAY=day {}", now.as_secs() / 86_400);
    let made = std::path::PathBuf::from(std::env::var("OUT_DIR").unwrap()).join("made.rs");
    std::fs::write(made, "#[allow(dead_code)] fn made() -> &'static str { file!() }").unwrap();
}
"##;

/// A repository of those programs, and of the scripts; gone with the test, if it was good.
struct Project(PathBuf);

impl Project {
    fn new() -> Self {
        let project = Self(Path::new(env!("CARGO_TARGET_TMPDIR")).join("built-twice"));
        let _ = fs::remove_dir_all(&project.0);
        let scripts = project.0.join("deploy/image");
        fs::create_dir_all(&scripts).unwrap();
        for script in ["build.sh", "reproducible.sh", "another_year.c"] {
            fs::copy(at("deploy/image").join(script), scripts.join(script)).unwrap();
        }
        let members = PROGRAMS.map(|(name, _)| name);
        project.write("Cargo.toml", &format!("[workspace]\nresolver = \"3\"\nmembers = {members:?}\n"));
        project.write(".gitignore", "/target\n");
        for (name, has) in PROGRAMS {
            project.write(
                &format!("{name}/Cargo.toml"),
                &format!("[package]\nname = \"{name}\"\nedition = \"2024\"\n"),
            );
            project.write(&format!("{name}/build.rs"), BUILD_SCRIPT);
            let made = "include!(concat!(env!(\"OUT_DIR\"), \"/made.rs\"));";
            project.write(
                &format!("{name}/src/main.rs"),
                &format!("{made}\nfn main() {{ println!(\"it has {{}}\", {has}); }}\n"),
            );
        }
        project.run("cargo", &["generate-lockfile", "--offline"]);
        project.run("git", &["init", "--quiet"]);
        project.run("git", &["add", "--all"]);
        project
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Whether it went well, and what was said.
    fn tried(&self, program: &str, arguments: &[&str]) -> (bool, String) {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(&self.0).env("BUILT_IN", &self.0);
        let output = command.output().unwrap_or_else(|error| panic!("{program}: {error}"));
        let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        (output.status.success(), said.concat())
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let (well, said) = self.tried(program, arguments);
        assert!(well, "{program} {arguments:?}: {said}");
    }

    fn built_twice(&self, programs: &[&str]) -> (bool, String) {
        self.tried("sh", &[&["deploy/image/reproducible.sh"], programs].concat())
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

#[test]
fn builds_that_differ_and_paths_of_the_machine_are_seen() {
    let project = Project::new();
    let (well, said) = project.built_twice(&["same"]);
    assert!(well && said.contains("same: "), "{said}");
    let (well, said) = project.built_twice(&["dated", "signed", "placed"]);
    let line =
        |begins: &str, name: &str| said.lines().any(|line| line.starts_with(begins) && line.contains(name));
    assert!(!well && line("DIFFERENT: ", "/dated;") && line("DIFFERENT: ", "/signed;"), "{said}");
    // The same both times, and of no use to anybody else.
    assert!(line("same: ", " placed") && line("A PLACE OF THIS MACHINE ", " placed:"), "{said}");
}
