//! What the programs are built of is written down: each dependency with what it is for, and `unsafe` where it may be.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

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
    let named = table(&read("Cargo.toml"), "workspace.dependencies");
    let named =
        named.iter().filter(|line| !line.contains("path = ")).filter_map(|line| line.split_once(" = "));
    let named: BTreeSet<_> = named.map(|(name, _)| name.to_owned()).collect();
    assert!(named.len() > 40, "dependencies are found: {named:?}");
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
