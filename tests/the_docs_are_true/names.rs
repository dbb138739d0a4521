//! Names the programs have: of variables, options, metrics, events and annotations.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use super::markdown::{Block, Page};
use super::{Flaws, programs};
use crate::dashboards_and_alerts_hold::{alerts, families, is_there, quoted};

/// What the programs say of themselves.
pub(super) struct Known {
    /// Ends with `*` where only the beginning is fixed.
    variables: BTreeSet<String>,
    /// The options of each command: `culvert-control root`.
    options: BTreeMap<String, BTreeSet<String>>,
    families: BTreeSet<String>,
    /// Texts in the source.
    texts: BTreeSet<String>,
    alerts: BTreeSet<String>,
}

/// Variables and constants of others, or of this repository's tools.
const OF_OTHERS: [&str; 18] = [
    "NO_COLOR",
    "CNI_ARGS",
    "CULVERT_NODE",
    "DEMO_FLAGS",
    "CULVERT_CHAOS_SECONDS",
    "CULVERT_CHAOS_PODS",
    "CULVERT_CHAOS_SEED",
    "CULVERT_CHAOS_SEEDS",
    "CULVERT_SOAK_SECONDS",
    "NETWORK_POLICY_ENFORCING_MODE",
    "CONNECT_ERROR",
    "SO_ORIGINAL_DST",
    "SO_PEERCRED",
    "MSG_OOB",
    "SCHED_IDLE",
    "IP_BIND_ADDRESS_NO_PORT",
    "CULVERT_GIT_REVISION",
    "CULVERT_BUILD_STATUS",
];
/// Options of others, `culvert-bench` among them, that are written without their program.
const OPTIONS_OF_OTHERS: [&str; 15] = [
    "--features",
    "--nocapture",
    "--set",
    "--quick",
    "--pairs",
    "--workloads",
    "--services",
    "--nodes",
    "--returning",
    "--rounds",
    "--on-demand",
    "--attacks",
    "--locked",
    "--remap-path-prefix",
    "--build-arg",
];
const PROGRAMS: [&str; 4] = ["culvert", "culvert-agent", "culvert-control", "culvert-node"];
/// What ends a command among words.
const ENDS: [&str; 6] = ["|", "||", "&&", ";", ">", "&"];
const METRICS: [&str; 3] = ["culvert_", "istio_", "workload_manager_"];

impl Known {
    /// Asks the programs, and looks into the README's table and the source.
    pub(super) fn gather() -> Self {
        let (variables, families, texts, alerts) = (variables(), families(), quoted(), alerts());
        let mut known = Self { variables, options: BTreeMap::new(), families, texts, alerts };
        for program in PROGRAMS {
            known.ask(vec![program.to_owned()]);
        }
        assert!(known.options.len() > 8, "commands are found: {:?}", known.options.keys());
        known.variables.extend(OF_OTHERS.map(str::to_owned));
        known
    }

    /// Reads the help of a command, and of those below it.
    fn ask(&mut self, command: Vec<String>) {
        let program = programs::directory().join(&command[0]);
        let output = Command::new(program).args(&command[1..]).arg("--help").output().unwrap();
        let help = String::from_utf8_lossy(&output.stdout).into_owned();
        let of_lines = help.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
        let options = of_lines.flat_map(str::split_whitespace).filter_map(option).collect();
        let envs = help
            .split("[env: ")
            .skip(1)
            .filter_map(|rest| rest.split_once('='))
            .map(|(name, _)| name.to_owned());
        self.variables.extend(envs);
        let listed = help.split("\nCommands:\n").nth(1).unwrap_or_default();
        let listed = listed.lines().take_while(|line| !line.is_empty());
        let below = listed.filter_map(|line| line.split_whitespace().next()).filter(|word| *word != "help");
        for word in below {
            self.ask([command.clone(), vec![word.to_owned()]].concat());
        }
        self.options.insert(command.join(" "), options);
    }

    /// Names of a page that no program has.
    pub(super) fn unknown_in(&self, page: &Page) -> Flaws {
        let mut flaws = Vec::new();
        for (line, code) in page.codes() {
            let unknown = self.in_code(&code).into_iter().chain(self.in_text(&code));
            flaws.extend(unknown.map(|what| format!("{}:{line}: `{code}`: {what}", page.path)));
        }
        for block in page.blocks.iter().filter(|block| block.is_shell() || block.language == "promql") {
            let unknown = self.in_commands(block).into_iter().chain(self.in_text(&block.text));
            flaws.extend(unknown.map(|what| format!("{}:{}: {what}", page.path, block.line)));
        }
        flaws
    }

    fn in_code(&self, code: &str) -> Flaws {
        let first = code.split(['=', ' ', '{']).next().unwrap_or_default();
        let mut flaws = Vec::new();
        if is_variable(first) && !self.has_variable(first) {
            flaws.push(format!("no program has the variable {first}"));
        }
        if code.starts_with("--") {
            let any = |it: &str| self.options.values().any(|options| options.contains(it));
            let unknown = code.split_whitespace().filter_map(option).filter(|it| !any(it));
            let unknown = unknown.filter(|it| !OPTIONS_OF_OTHERS.contains(&&**it));
            flaws.extend(unknown.map(|it| format!("no program has the option {it}")));
        }
        if PROGRAMS.contains(&first) {
            flaws.extend(self.in_line(code));
        }
        if first.starts_with("culvert.dev/") || is_event(first) {
            let is_text = self.texts.contains(first) || self.alerts.contains(first);
            flaws.extend((!is_text).then(|| format!("{first} is nowhere in the source")));
        }
        flaws
    }

    fn in_commands(&self, block: &Block) -> Flaws {
        let whole = block.text.replace("\\\n", " ");
        whole.lines().flat_map(|line| self.in_line(line)).collect()
    }

    /// Options of our programs in a line of shell, and variables set for them.
    fn in_line(&self, line: &str) -> Flaws {
        let line = line.split(" #").next().unwrap_or_default();
        let mut flaws = Vec::new();
        let (mut begins, mut command) = (true, None::<String>);
        for word in line.split_whitespace() {
            let starts_inner = word.starts_with("$(");
            let word = word.trim_start_matches("$(").trim_matches(['"', '\'', ')']);
            if ENDS.contains(&word) {
                (begins, command) = (true, None);
            } else if begins || starts_inner {
                flaws.extend(self.wrong_variable(word));
                // Before the program, and not in its place.
                begins = word == "sudo" || word.contains('=');
                command = PROGRAMS.contains(&word).then(|| word.to_owned());
            } else if let Some(above) = command.take() {
                let below = format!("{above} {word}");
                let wrong = option(word).filter(|option| !self.takes(&above, option));
                flaws.extend(wrong.map(|option| format!("`{above}` has no option {option}")));
                command = Some(if self.options.contains_key(&below) { below } else { above });
            }
        }
        flaws
    }

    /// What is wrong with a variable that is set in front of a program, if it is one.
    fn wrong_variable(&self, word: &str) -> Option<String> {
        let (name, _) = word.split_once('=')?;
        let is_wrong = is_variable(name) && !self.has_variable(name);
        is_wrong.then(|| format!("no program has the variable {name}"))
    }

    /// Whether a command takes an option.
    fn takes(&self, command: &str, option: &str) -> bool {
        self.options.get(command).is_some_and(|options| options.contains(option))
    }

    /// Metrics that are named in a text.
    fn in_text(&self, text: &str) -> Flaws {
        let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '*');
        let words =
            text.split(|c: char| !is_part(c)).filter(|word| METRICS.iter().any(|it| word.starts_with(it)));
        let is_known = |word: &&str| match word.strip_suffix(['*', '_']) {
            Some(beginning) => self.families.iter().any(|family| family.starts_with(beginning)),
            None => is_there(word, &self.families),
        };
        words.filter(|word| !is_known(word)).map(|word| format!("no program has the metric {word}")).collect()
    }

    fn has_variable(&self, name: &str) -> bool {
        self.variables.iter().any(|known| match known.strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning),
            None => known == name,
        })
    }
}

/// The variables in the README's table.
fn variables() -> BTreeSet<String> {
    let readme = Page::at("README.md");
    let rows = readme.prose.iter().filter_map(|(_, line)| line.strip_prefix("| `")?.split_once('`'));
    let names: BTreeSet<_> = rows.map(|(name, _)| name.to_owned()).collect();
    assert!(names.len() > 60, "variables are found: {names:?}");
    names
}

/// The option a word is: `--sort-by` of `--sort-by=-OPEN`.
fn option(word: &str) -> Option<String> {
    let end = |c: char| !(c.is_ascii_alphanumeric() || c == '-');
    let name = word.strip_prefix("--")?.split(end).next()?;
    (!name.is_empty()).then(|| format!("--{name}"))
}

/// Whether a word looks like a variable.
fn is_variable(word: &str) -> bool {
    let fits = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_' || c == '*';
    word.contains('_') && !word.starts_with('_') && word.chars().all(fits)
}

/// Whether a word looks like the name of an event or alert.
fn is_event(word: &str) -> bool {
    let rest = word.strip_prefix("Culvert").unwrap_or_default();
    rest.starts_with(|c: char| c.is_ascii_uppercase()) && rest.chars().all(|c| c.is_ascii_alphabetic())
}
