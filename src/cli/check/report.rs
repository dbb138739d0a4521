//! How findings are told: a table for people, JSON or YAML for programs.
//!
//! In go findings in the order in which they are told, and a screen; out comes text. Nothing is decided here.

use std::fmt::Write as _;

use serde::Serialize;

use super::finding::{AS_ROOT, Finding, Place, State};
use crate::output::{Error, Format, Screen, Tone, clean, wrapped};

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

/// The findings in that format.
pub(crate) fn tell(format: Format, findings: &[Finding], screen: &Screen) -> Result<String, Error> {
    let document = Document { findings, summary: Summary::of(findings) };
    Ok(format.structured(&document)?.unwrap_or_else(|| table(findings, screen)))
}

/// `problem` and two spaces.
const STATE: usize = 9;
/// Between the longest name and what was found.
const GAP: usize = 2;
/// Where nobody says how wide lines may be.
const WIDTH: usize = 100;
/// What was found has at least so much room, however narrow the screen is.
const NARROWEST: usize = 30;

fn table(findings: &[Finding], screen: &Screen) -> String {
    let names = findings.iter().map(|finding| finding.name.len()).max().unwrap_or(0);
    let mut text: String = findings.iter().map(|finding| row(finding, names, screen)).collect();
    let Summary { ok, unknown, warnings, problems } = Summary::of(findings);
    text += &format!("\n{ok} ok, {unknown} unknown, {warnings} with a warning, {problems} with a problem\n");
    let hidden = findings.iter().filter(|finding| is_for_root(finding)).count();
    if hidden > 0 {
        text += &format!("{hidden} can be looked at by root only: sudo culvert check\n");
    }
    text
}

/// A finding with all that is said of it. Remedies are never wrapped: they are copied.
fn row(finding: &Finding, names: usize, screen: &Screen) -> String {
    let Finding { name, state, place, found, why, remedy } = finding;
    let indent = STATE + names + GAP;
    let places = Some(screen.width.unwrap_or(WIDTH).saturating_sub(indent).max(NARROWEST));
    let mut lines: Vec<String> = place.iter().map(written_at).collect();
    lines.extend(wrapped(&clean(found), places));
    if *state >= State::Warning {
        lines.extend(wrapped(&clean(&format!("why: {why}")), places));
    }
    lines.extend(
        remedy.iter().filter(|_| !is_for_root(finding)).map(|remedy| format!("do:  {}", clean(remedy))),
    );
    let word = screen.paint.tone(tone(*state), &format!("{:<7}", state.word()));
    let mut text = format!("{word}  {name:<names$}  ");
    for (number, line) in lines.iter().enumerate() {
        let before = if number == 0 { 0 } else { indent };
        // Writing to a text cannot fail.
        let _ = writeln!(text, "{:before$}{line}", "");
    }
    text
}

/// A place, as editors and terminals know to follow it. It is never wrapped.
fn written_at(place: &Place) -> String {
    let Place { file, line, object, path } = place;
    let within = [object, path].into_iter().flatten().map(String::as_str);
    let within: Vec<&str> = within.collect();
    clean(&format!("{file}:{line} {}", within.join(" "))).trim_end().to_owned()
}

fn tone(state: State) -> Tone {
    match state {
        State::Ok => Tone::Good,
        State::Unknown => Tone::Faint,
        State::Warning => Tone::Warning,
        State::Problem => Tone::Bad,
    }
}

/// What is said once for all of them.
fn is_for_root(finding: &Finding) -> bool {
    finding.remedy.as_deref() == Some(AS_ROOT)
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
    use crate::output::Paint;

    fn finding(state: State, found: &str, remedy: Option<&str>) -> Finding {
        let remedy = remedy.map(str::to_owned);
        let (found, why) = (found.to_owned(), "much depends on it".into());
        Finding { name: "some-check", state, place: None, found, why, remedy }
    }

    #[test]
    fn people_read_short_lines_and_remedies_they_can_copy() {
        let long = "sysctl -w net.ipv4.conf.all.rp_filter=2 net.ipv4.conf.eth0.rp_filter=2 net.ipv4.conf.eth1.rp_filter=2";
        let findings = [
            finding(State::Ok, &"word ".repeat(30), None),
            finding(State::Unknown, "needs root", Some(AS_ROOT)),
            finding(State::Problem, "strict", Some(long)),
        ];
        let text = table(&findings, &Screen { width: Some(80), paint: Paint::new(false) });
        let too_long: Vec<_> = text.lines().filter(|line| line.len() > 80).collect();
        assert_eq!(too_long, [format!("{:21}do:  {long}", "")], "only what is copied");
        assert_eq!(text.matches("why:").count(), 1, "why is told of what needs attention\n{text}");
        assert!(text.ends_with("\n1 ok, 1 unknown, 0 with a warning, 1 with a problem\n1 can be looked at by root only: sudo culvert check\n"), "{text}");
    }

    #[test]
    fn programs_read_the_same_in_both_formats() {
        let findings =
            [finding(State::Warning, "a: b # c\n\"d\"", Some("do: it")), finding(State::Ok, "no", None)];
        let said = |format| tell(format, &findings, &Screen::plain()).unwrap();
        let read: serde_json::Value = serde_saphyr::from_str(&said(Format::Yaml)).unwrap();
        assert_eq!(read, serde_json::from_str::<serde_json::Value>(&said(Format::Json)).unwrap());
        assert_eq!(read["findings"][0]["state"], "warning");
        assert_eq!(read["summary"]["warnings"], 1);
    }
}
