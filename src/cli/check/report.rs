//! How findings are told: a table for people, JSON or YAML for programs.
//!
//! In go findings in the order in which they are told; nothing is decided here. Colours are for terminals alone.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use super::finding::{AS_ROOT, Finding, State};

/// A format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum Output {
    /// For people
    #[default]
    Table,
    /// For programs
    Json,
    /// For both
    Yaml,
}

/// What programs read.
#[derive(Serialize)]
struct Document<'f> {
    findings: &'f [Finding],
    summary: Summary,
}

#[derive(Debug, Serialize, PartialEq, Eq)]
struct Summary {
    ok: usize,
    unknown: usize,
    warnings: usize,
    problems: usize,
}

/// Writes the findings to stdout.
pub(crate) fn tell(output: Output, findings: &[Finding]) -> io::Result<()> {
    let mut out = anstream::stdout().lock();
    let document = Document { findings, summary: Summary::of(findings) };
    match output {
        Output::Table => table(&mut out, findings, width()),
        Output::Json => writeln!(out, "{}", serde_json::to_string_pretty(&document)?),
        Output::Yaml => write!(out, "{}", serde_saphyr::to_string(&document).map_err(io::Error::other)?),
    }
}

/// The width of what people read: as their shell says, within reason.
fn width() -> usize {
    let said = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    said.unwrap_or(DEFAULT_WIDTH).clamp(80, 120)
}

const DEFAULT_WIDTH: usize = 100;
/// `problem` and two spaces.
const STATE: usize = 9;
/// Between the longest name and what was found.
const GAP: usize = 2;

fn table(out: &mut impl Write, findings: &[Finding], width: usize) -> io::Result<()> {
    let names = findings.iter().map(|finding| finding.name.len()).max().unwrap_or(0);
    let indent = STATE + names + GAP;
    for finding in findings {
        let Finding { name, state, found, why, remedy } = finding;
        let style = style(*state);
        let mut lines = wrap(found, width - indent).into_iter();
        let first = lines.next().unwrap_or_default();
        writeln!(out, "{style}{:<7}{style:#}  {name:<names$}  {first}", state.word())?;
        let told = *state >= State::Warning;
        let why = wrap(&format!("why: {why}"), width - indent);
        let remedy = remedy.as_ref().map(|remedy| format!("do:  {remedy}")).unwrap_or_default();
        let more = lines.chain(why.into_iter().filter(|_| told));
        for line in more {
            writeln!(out, "{:indent$}{line}", "")?;
        }
        if !remedy.is_empty() && !is_for_root(finding) {
            // Never wrapped: it is copied.
            writeln!(out, "{:indent$}{remedy}", "")?;
        }
    }
    let Summary { ok, unknown, warnings, problems } = Summary::of(findings);
    writeln!(out, "\n{ok} ok, {unknown} unknown, {warnings} with a warning, {problems} with a problem")?;
    let hidden = findings.iter().filter(|finding| is_for_root(finding)).count();
    if hidden > 0 {
        writeln!(out, "{hidden} can be looked at by root only: sudo culvert check")?;
    }
    Ok(())
}

/// What is said once for all of them.
fn is_for_root(finding: &Finding) -> bool {
    finding.remedy.as_deref() == Some(AS_ROOT)
}

fn style(state: State) -> Style {
    match state {
        State::Ok => AnsiColor::Green.on_default(),
        State::Unknown => AnsiColor::Cyan.on_default(),
        State::Warning => AnsiColor::Yellow.on_default(),
        State::Problem => AnsiColor::Red.on_default().bold(),
    }
}

/// Breaks a text at spaces; a word that is longer than a line stays whole.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            Some(_) | None => lines.push(word.to_owned()),
        }
    }
    lines
}

impl Summary {
    fn of(findings: &[Finding]) -> Self {
        let count = |state| findings.iter().filter(|finding| finding.state == state).count();
        Self {
            ok: count(State::Ok),
            unknown: count(State::Unknown),
            warnings: count(State::Warning),
            problems: count(State::Problem),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(state: State, found: &str, remedy: Option<&str>) -> Finding {
        let remedy = remedy.map(str::to_owned);
        Finding { name: "some-check", state, found: found.to_owned(), why: "much depends on it", remedy }
    }

    #[test]
    fn people_read_short_lines_and_remedies_they_can_copy() {
        let long = "sysctl -w net.ipv4.conf.all.rp_filter=2 net.ipv4.conf.eth0.rp_filter=2 net.ipv4.conf.eth1.rp_filter=2";
        let findings = [
            finding(State::Ok, &"word ".repeat(30), None),
            finding(State::Unknown, "needs root", Some(AS_ROOT)),
            finding(State::Problem, "strict", Some(long)),
        ];
        let mut out = Vec::new();
        table(&mut out, &findings, 80).unwrap();
        let text = anstream::adapter::strip_str(std::str::from_utf8(&out).unwrap()).to_string();
        let too_long: Vec<_> = text.lines().filter(|line| line.len() > 80).collect();
        assert_eq!(too_long, [format!("{:21}do:  {long}", "")], "only what is copied");
        assert_eq!(text.matches("why:").count(), 1, "why is told of what needs attention\n{text}");
        assert!(text.ends_with("\n1 ok, 1 unknown, 0 with a warning, 1 with a problem\n1 can be looked at by root only: sudo culvert check\n"), "{text}");
    }

    #[test]
    fn programs_read_the_same_in_both_formats() {
        let findings =
            [finding(State::Warning, "a: b # c\n\"d\"", Some("do: it")), finding(State::Ok, "no", None)];
        let document = Document { findings: &findings, summary: Summary::of(&findings) };
        let yaml = serde_saphyr::to_string(&document).unwrap();
        let read: serde_json::Value = serde_saphyr::from_str(&yaml).unwrap();
        assert_eq!(read, serde_json::to_value(&document).unwrap(), "{yaml}");
        assert_eq!(read["findings"][0]["state"], "warning");
        assert_eq!(read["summary"]["warnings"], 1);
    }
}
