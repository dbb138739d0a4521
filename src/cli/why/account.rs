//! A verdict in words: the question, the steps with their marks, who is to blame, what that rests on and what to do.

use std::fmt::Write as _;

use culvert_api::{Answer, Connection, Culprit, Question, Step, Verdict, Why};

use crate::get::kinds::{called, caller};
use crate::output::{Screen, Tone, clean, human, width_of, wrapped};

const INDENT: &str = "  ";

/// Writes the account. `all` tells of the connection's addresses as well.
pub(super) fn of(why: &Why, all: bool, screen: &Screen) -> String {
    let mut text = String::new();
    line(&mut text, &screen.paint.tone(Tone::Strong, &question(why)));
    if let Some(connection) = &why.connection {
        facts(&mut text, connection, all, screen);
    }
    text.push('\n');
    steps(&mut text, &why.steps, screen);
    text.push('\n');
    verdict(&mut text, &why.verdict, screen);
    text
}

fn question(why: &Why) -> String {
    clean(&match &why.question {
        Question::Connection { id } => format!("connection {id}"),
        Question::Hypothetical { source, destination } => format!("would {source} reach {destination}?"),
    })
}

fn facts(text: &mut String, it: &Connection, all: bool, screen: &Screen) {
    let took = human::lasting(std::time::Duration::from_millis(it.milliseconds));
    let (there, back) = (human::size(it.bytes.to_server), human::size(it.bytes.to_client));
    let ends = format!("{} -> {}", caller(&it.source), called(&it.destination));
    let mut lines = vec![format!("{ends}, since {} ({took}), {there} there and {back} back", it.began)];
    let error = it.outcome.as_ref().and_then(|outcome| outcome.error.as_ref());
    lines.extend(error.map(|error| format!("it ended with: {error}")));
    if all {
        lines.push(format!("dialled {}, next hop {}", it.original_destination, it.next_hop));
        let attempts = it.attempts.iter();
        lines.extend(attempts.map(|attempt| format!("tried {} before: {}", attempt.address, attempt.error)));
    }
    for fact in lines {
        hanging(text, INDENT, &clean(&fact), screen);
    }
}

/// A column of marks, one of what was asked, and the rest of the line for what was found.
fn steps(text: &mut String, steps: &[Step], screen: &Screen) {
    let what = steps.iter().map(|step| width_of(&clean(&step.what))).max().unwrap_or(0);
    for step in steps {
        let (mark, tone) = mark(step.answer);
        let asked = clean(&step.what);
        let padding = " ".repeat(what.saturating_sub(width_of(&asked)));
        let lead = format!("{INDENT}{} {asked}{padding}{INDENT}", screen.paint.tone(tone, mark));
        let places = INDENT.len() * 2 + 2 + what;
        let found = wrapped(&clean(&step.found), screen.width.map(|width| width.saturating_sub(places)));
        for (position, found) in found.iter().enumerate() {
            let lead = if position == 0 { lead.clone() } else { " ".repeat(places) };
            line(text, &format!("{lead}{found}"));
        }
    }
}

fn mark(answer: Answer) -> (&'static str, Tone) {
    match answer {
        Answer::Pass => ("✓", Tone::Good),
        Answer::Note => ("·", Tone::Faint),
        Answer::Stop => ("✗", Tone::Bad),
        Answer::Unknown => ("?", Tone::Warning),
    }
}

fn verdict(text: &mut String, verdict: &Verdict, screen: &Screen) {
    let tone = if verdict.culprit == Culprit::Nobody {
        Tone::Good
    } else if verdict.culprit == Culprit::Unknown {
        Tone::Warning
    } else {
        Tone::Bad
    };
    line(text, &format!("verdict: {}", screen.paint.tone(tone, verdict.culprit.as_str())));
    hanging(text, INDENT, &clean(&verdict.sentence), screen);
    if !verdict.evidence.is_empty() {
        line(text, "evidence:");
    }
    for evidence in &verdict.evidence {
        hanging(text, "  - ", &clean(evidence), screen);
    }
    if let Some(remedy) = &verdict.remedy {
        line(text, "what to do:");
        hanging(text, INDENT, &clean(remedy), screen);
    }
}

/// A paragraph behind a lead; its further lines begin below its first word.
fn hanging(text: &mut String, lead: &str, paragraph: &str, screen: &Screen) {
    let places = width_of(lead);
    let lines = wrapped(paragraph, screen.width.map(|width| width.saturating_sub(places)));
    for (position, words) in lines.iter().enumerate() {
        let lead = if position == 0 { lead.to_owned() } else { " ".repeat(places) };
        line(text, &format!("{lead}{words}"));
    }
}

fn line(text: &mut String, line: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{line}");
}
