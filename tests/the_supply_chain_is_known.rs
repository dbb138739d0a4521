//! What the programs are built of is written down: each dependency with what it is for, and `unsafe` where it may be.

mod twice;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// System calls; and an allocator that counts, which is in no program.
const UNSAFE: [&str; 2] = ["src/sys", "fuzz"];

fn at(path: impl AsRef<Path>) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(at(&path)).unwrap_or_else(|error| panic!("{}: {error}", path.as_ref().display()))
}

/// The lines of a table of a manifest, without comments.
fn table(manifest: &str, name: &str) -> BTreeSet<String> {
    let lines = manifest.lines().skip_while(|line| *line != format!("[{name}]")).skip(1);
    let lines = lines.take_while(|line| !line.starts_with('['));
    lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect()
}

/// The directories of the workspace's members.
fn members() -> Vec<String> {
    let manifest = read("Cargo.toml");
    let list = manifest.split("members = [").nth(1).unwrap().split(']').next().unwrap();
    list.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Files of Rust below a directory.
fn sources(below: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(below).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            found.extend(sources(&entry));
        } else if entry.extension().is_some_and(|it| it == "rs") {
            found.push(entry);
        }
    }
    found
}

/// What is forbidden cannot be allowed again by an attribute.
#[test]
fn unsafe_code_is_in_one_crate() {
    let workspace = table(&read("Cargo.toml"), "workspace.lints.rust");
    assert!(workspace.contains("unsafe_code = \"forbid\""), "{workspace:?}");
    let members = members();
    assert!(members.len() > 15, "members are found: {members:?}");
    for member in members.iter().filter(|member| !UNSAFE.contains(&member.as_str())) {
        let manifest = read(format!("{member}/Cargo.toml"));
        let inherits = table(&manifest, "lints").contains("workspace = true");
        let forbids = table(&manifest, "lints.rust").contains("unsafe_code = \"forbid\"");
        assert!(inherits || forbids, "{member} may have `unsafe`");
    }
}

/// Lints of crates that may have it are those of all others, and stricter about what they alone may do.
#[test]
fn what_is_unsafe_says_why_it_is_sound() {
    let workspace = read("Cargo.toml");
    let lints = |manifest: &str, of: &str| {
        [format!("{of}lints.rust"), format!("{of}lints.clippy")].map(|name| table(manifest, &name))
    };
    for member in UNSAFE {
        let own = read(format!("{member}/Cargo.toml"));
        for (theirs, ours) in lints(&workspace, "workspace.").iter().zip(&lints(&own, "")) {
            let lacking: Vec<_> = theirs.difference(ours).collect();
            let meant = ["unsafe_code = \"forbid\"", "undocumented_unsafe_blocks = \"warn\""];
            assert!(lacking.iter().all(|it| meant.contains(&it.as_str())), "{member} lacks {lacking:?}");
        }
        for lint in ["undocumented_unsafe_blocks", "multiple_unsafe_ops_per_block", "unsafe_op_in_unsafe_fn"]
        {
            assert!(own.contains(&format!("{lint} = \"deny\"")), "{member} does not deny {lint}");
        }
        let files = sources(&at(member));
        let blocks: Vec<_> = files.iter().flat_map(|file| unexplained(file)).collect();
        assert!(blocks.is_empty(), "without a contract: {blocks:?}");
    }
}

/// Blocks that are unsafe and have no contract in front of them.
fn unexplained(file: &Path) -> Vec<String> {
    const ABOVE: usize = 8;
    let text = fs::read_to_string(file).unwrap();
    let lines: Vec<_> = text.lines().collect();
    let is_unsafe = |line: &str| line.contains("unsafe {") || line.contains("unsafe impl");
    let mut found = Vec::new();
    for (at, _) in lines.iter().enumerate().filter(|(_, line)| is_unsafe(line)) {
        let above = &lines[at.saturating_sub(ABOVE)..=at];
        if !above.iter().any(|line| line.contains("SAFETY:")) {
            found.push(format!("{}:{}", file.display(), at + 1));
        }
    }
    found
}

/// The table of the map has a row for each crate of others that the workspace names, and none for crates that are gone.
#[test]
fn each_dependency_says_what_it_is_for() {
    let named = dependencies();
    let map = read("src/ARCHITECTURE.md");
    let rows =
        map.split("\n## Dependencies\n").nth(1).unwrap().lines().filter_map(|line| line.strip_prefix("| "));
    let cells = rows.skip(1).filter_map(|row| row.split(" |").next()).filter(|cell| !cell.starts_with("no "));
    let words =
        cells.flat_map(|cell| cell.split([',', ' ', '(', ')']).map(str::to_owned).collect::<Vec<_>>());
    let is_name =
        |word: &String| word.len() > 1 && word != "with" && !word.starts_with(|c: char| c.is_ascii_digit());
    let told: BTreeSet<_> = words.filter(is_name).collect();
    let untold: Vec<_> = named.difference(&told).collect();
    assert!(untold.is_empty(), "src/ARCHITECTURE.md does not say what these are for: {untold:?}");
    // Comes in with ratatui.
    let with = BTreeSet::from(["crossterm".to_owned()]);
    let gone: Vec<_> = told.difference(&named).filter(|name| !with.contains(*name)).collect();
    assert!(gone.is_empty(), "src/ARCHITECTURE.md has rows for what is not used: {gone:?}");
}

/// The notes have each crate of others once, and what they say of it is so in the sources that are compiled.
#[test]
fn notes_on_dependencies_are_true() {
    let page = read("docs/supply-chain.md");
    let notes: Vec<_> = page.lines().filter_map(Note::read).flatten().collect();
    let mut noted: Vec<_> = notes.iter().map(|note| note.name.clone()).collect();
    noted.sort_unstable();
    assert_eq!(
        noted,
        dependencies().into_iter().collect::<Vec<_>>(),
        "docs/supply-chain.md notes each crate once"
    );
    let packages = packages();
    let flaws: Vec<_> = notes.iter().flat_map(|note| note.flaws(&packages)).collect();
    assert!(flaws.is_empty(), "docs/supply-chain.md:\n{}", flaws.join("\n"));
}

/// What a row of the notes says of a crate.
struct Note {
    name: String,
    /// Who has its repository.
    owner: String,
    has_unsafe: String,
    compiles: String,
}

impl Note {
    fn read(line: &str) -> Option<Vec<Self>> {
        let cells: Vec<_> = line.strip_prefix('|')?.strip_suffix('|')?.split('|').map(str::trim).collect();
        let [crates, owner, has_unsafe @ ("forbidden" | "none" | "some"), compiles @ ("" | "a build script")] =
            cells[..]
        else {
            return None;
        };
        let note = |name: &str| Self {
            name: name.to_owned(),
            owner: owner.to_owned(),
            has_unsafe: has_unsafe.to_owned(),
            compiles: compiles.to_owned(),
        };
        Some(crates.split(", ").map(note).collect())
    }

    fn flaws(&self, packages: &[Value]) -> Vec<String> {
        let package = packages.iter().find(|package| package["name"] == self.name.as_str());
        let package = package.unwrap_or_else(|| panic!("{} is in Cargo.lock", self.name));
        let repository = package["repository"].as_str().unwrap_or_default();
        let kinds: Vec<_> = package["targets"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|it| it["kind"].as_array().unwrap())
            .collect();
        let compiles = if kinds.iter().any(|kind| *kind == "custom-build") { "a build script" } else { "" };
        let has_unsafe = unsafety(Path::new(package["manifest_path"].as_str().unwrap()).parent().unwrap());
        let owned = repository.contains(&format!("/{}/", self.owner));
        [
            (!owned).then(|| format!("{}: is of {repository}, and not of {}", self.name, self.owner)),
            (compiles != self.compiles).then(|| format!("{}: while compiling: {compiles:?}", self.name)),
            (has_unsafe != self.has_unsafe).then(|| format!("{}: `unsafe`: {has_unsafe}", self.name)),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// Whether a library has `unsafe`, and whether it forbids itself to.
fn unsafety(package: &Path) -> &'static str {
    let code = |file: &PathBuf| {
        let text = fs::read_to_string(file).unwrap();
        text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join(" ")
    };
    let manifest = fs::read_to_string(package.join("Cargo.toml")).unwrap();
    let forbids = |text: &str| text.contains("unsafe_code") && text.contains("forbid");
    let attributes = code(&package.join("src/lib.rs"));
    let mut attributes = attributes.split("#![").skip(1).filter_map(|text| text.split(']').next());
    if attributes.any(forbids) || table(&manifest, "lints.rust").iter().any(|line| forbids(line)) {
        return "forbidden";
    }
    let is_word = |before: &str| !before.ends_with(|c: char| c.is_alphanumeric() || c == '_');
    let begins = |after: &str| {
        let after = after.trim_start();
        ["{", "fn ", "impl ", "impl<", "extern "].iter().any(|it| after.starts_with(it))
    };
    let is_used = |text: String| {
        let mut places = text.match_indices("unsafe");
        places.any(|(at, word)| is_word(&text[..at]) && begins(&text[at + word.len()..]))
    };
    if sources(&package.join("src")).iter().map(code).any(is_used) { "some" } else { "none" }
}

/// The crates of others that the workspace names.
fn dependencies() -> BTreeSet<String> {
    let named = table(&read("Cargo.toml"), "workspace.dependencies");
    let named: BTreeSet<_> = named
        .iter()
        .filter(|line| !line.contains("path = "))
        .filter_map(|line| Some(line.split_once(" = ")?.0.to_owned()))
        .collect();
    assert!(named.len() > 40, "dependencies are found: {named:?}");
    named
}

/// The packages that those of the workspace name, as cargo tells of them.
fn packages() -> Vec<Value> {
    let mut cargo = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".into()));
    let metadata = cargo.args(["metadata", "--locked", "--format-version", "1"]);
    let output = metadata.current_dir(at(".")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let all = |of: &'static str| metadata[of].as_array().unwrap();
    let nodes = metadata["resolve"]["nodes"].as_array().unwrap().iter();
    let ours = nodes.filter(|node| all("workspace_members").contains(&node["id"]));
    let named: Vec<_> = ours.flat_map(|node| node["dependencies"].as_array().unwrap()).collect();
    all("packages").iter().filter(|package| named.contains(&&package["id"])).cloned().collect()
}
