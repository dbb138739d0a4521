//! Every fuzz target on its corpus, and on inputs that are made of it: a fixed number, the same every time.
//!
//! It finds what breaks a target soon. What takes longer is found by libFuzzer, which looks where an input leads to.

mod chance;

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use chance::Chance;
use culvert_fuzz::TARGETS;

/// An input on which any target is busy for longer makes it spin, on the busiest of machines. Usual are microseconds.
const LONGEST: Duration = Duration::from_secs(60);

macro_rules! smoke {
    ($($target:ident: $inputs:literal,)*) => {
        $(#[test]
        fn $target() {
            Run::of(stringify!($target)).go($inputs);
        })*

        /// The targets that are run here.
        const RUN: &[&str] = &[$(stringify!($target)),*];
    };
}

// How many inputs: about so many as take some seconds.
smoke! {
    cluster: 1_000,
    cni_stdin: 10_000,
    csr: 2_000,
    discovery: 5_000,
    dns: 5_000,
    engine: 1_000,
    hbone: 10_000,
    hpack: 10_000,
    http2_client: 3_000,
    http2_server: 3_000,
    mesh_file: 1_000,
    proxy_protocol: 5_000,
    records: 3_000,
    socks: 10_000,
    token: 10_000,
    xds: 3_000,
    zds: 20_000,
}

#[test]
fn every_target_is_run_has_a_corpus_and_is_a_program() {
    let all: BTreeSet<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    assert_eq!(all, RUN.iter().copied().collect());
    let names = |directory: &str| -> BTreeSet<String> {
        let entries = fs::read_dir(at(directory)).unwrap();
        entries.map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()).collect()
    };
    assert_eq!(all, names("corpus").iter().map(String::as_str).collect());
    let manifest = fs::read_to_string(at("targets/Cargo.toml")).unwrap();
    for name in &all {
        assert!(manifest.contains(&format!("path = \"{name}.rs\"")), "{name} is no program");
        let program = fs::read_to_string(at(&format!("targets/{name}.rs"))).unwrap();
        assert!(program.contains("culvert_fuzz::"), "{name} is a program of its own");
    }
    for words in names("words") {
        assert!(all.contains(&*words), "words for {words}, which is no target");
    }
}

/// One target and what it is given.
struct Run {
    name: &'static str,
    target: fn(&[u8]),
    corpus: Vec<Vec<u8>>,
    words: Vec<Vec<u8>>,
}

impl Run {
    fn of(name: &str) -> Self {
        let &(name, target) = TARGETS.iter().find(|(it, _)| *it == name).expect("it is a target");
        Self { name, target, corpus: corpus(name), words: words(name) }
    }

    /// Runs the corpus, and as many inputs made of it.
    fn go(&self, inputs: usize) {
        for input in &self.corpus {
            self.try_out(input);
        }
        let mut chance = Chance::new(self.name);
        for _ in 0..inputs {
            self.try_out(&chance.input(&self.corpus, &self.words));
        }
    }

    /// An input that breaks the target is kept for whoever has a look.
    fn try_out(&self, input: &[u8]) {
        let began = Instant::now();
        let result = catch_unwind(AssertUnwindSafe(|| (self.target)(input)));
        let took = began.elapsed();
        if result.is_ok() && took < LONGEST {
            return;
        }
        let kept = self.keep(input);
        eprintln!("on this input, within {took:?}; again: fuzz/run.sh {} 0 {}", self.name, kept.display());
        match result {
            Err(panic) => resume_unwind(panic),
            Ok(()) => panic!("{} spins for {took:?}", self.name),
        }
    }

    fn keep(&self, input: &[u8]) -> PathBuf {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fuzz");
        let path = directory.join(self.name);
        let kept = fs::create_dir_all(&directory).and_then(|()| fs::write(&path, input));
        kept.unwrap_or_else(|error| eprintln!("{} cannot be written: {error}", path.display()));
        path
    }
}

/// In the order of their names, as directories have none.
fn corpus(name: &str) -> Vec<Vec<u8>> {
    let entries = fs::read_dir(at(&format!("corpus/{name}"))).expect("there is a corpus");
    let paths: BTreeSet<PathBuf> = entries.map(|entry| entry.expect("it can be listed").path()).collect();
    paths.iter().map(|path| fs::read(path).expect("it can be read")).collect()
}

/// The words of a target's language, in libFuzzer's form: one in quotation marks on each line.
fn words(name: &str) -> Vec<Vec<u8>> {
    let Ok(text) = fs::read_to_string(at(&format!("words/{name}"))) else { return Vec::new() };
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| word(line).unwrap_or_else(|| panic!("{name}: {line} is no word"))).collect()
}

fn word(line: &str) -> Option<Vec<u8>> {
    let mut rest = line[line.find('"')?..].strip_prefix('"')?.strip_suffix('"')?.bytes();
    let mut word = Vec::new();
    while let Some(byte) = rest.next() {
        word.push(match byte {
            b'\\' => match rest.next()? {
                b'x' => {
                    let digits = [rest.next()?, rest.next()?];
                    u8::from_str_radix(str::from_utf8(&digits).ok()?, 16).ok()?
                }
                escaped => escaped,
            },
            byte => byte,
        });
    }
    Some(word)
}

fn at(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
