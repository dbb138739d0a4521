//! The screen, drawn from the state alone.
//!
//! From top to bottom: the node, the tabs, the lines, and what keys do or what is wrong.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph};
use time::OffsetDateTime;

use super::state::State;
use super::tab::Tab;
use crate::output::{Piece, Tone, clean, human, width_of};

/// After so many seconds without an answer, figures are old.
const STALE: i64 = 3;

const HELP: [&str; 11] = [
    "1-5, Tab, arrows   connections, traffic, refusals, certificates, tunnels",
    "up, down, j, k     move; Page up, Page down, Home, End",
    "/                  show only lines with a text; Enter keeps it, Esc clears it",
    "s, S               sort by the next, the previous column",
    "r                  sort the other way",
    "p, space           pause, and go on",
    "?, h               this",
    "q, Esc, Ctrl-C     quit",
    "",
    "Rates are those of the last second. What a node does not know is -.",
    "Any key goes back.",
];

/// Draws it.
pub(super) fn draw(frame: &mut Frame<'_>, state: &State, now: OffsetDateTime, colours: bool) {
    let ink = Ink { colours };
    let parts = [Constraint::Length(1), Constraint::Length(1), Constraint::Min(0), Constraint::Length(1)];
    let [head, tabs, body, foot] = Layout::vertical(parts).areas(frame.area());
    frame.render_widget(Paragraph::new(header(state, now, ink)), head);
    frame.render_widget(Paragraph::new(tab_line(state, ink)), tabs);
    lines(frame, body, state, now, ink);
    frame.render_widget(Paragraph::new(footer(state, now, ink)), foot);
    if state.help {
        help(frame, ink);
    }
}

/// Tones as styles.
#[derive(Debug, Clone, Copy)]
struct Ink {
    colours: bool,
}

impl Ink {
    fn style(self, tone: Tone) -> Style {
        let colour = |colour| if self.colours { Style::new().fg(colour) } else { Style::new() };
        match tone {
            Tone::Plain => Style::new(),
            Tone::Good => colour(Color::Green),
            Tone::Warning => colour(Color::Yellow),
            Tone::Bad => colour(Color::Red).add_modifier(Modifier::BOLD),
            Tone::Faint => Style::new().add_modifier(Modifier::DIM),
            Tone::Strong => Style::new().add_modifier(Modifier::BOLD),
        }
    }

    fn span(self, tone: Tone, text: impl Into<String>) -> Span<'static> {
        Span::styled(text.into(), self.style(tone))
    }
}

fn header(state: &State, now: OffsetDateTime, ink: Ink) -> Line<'static> {
    let address = state.address.clone();
    let Some(heard) = &state.heard else {
        return Line::from(vec![
            ink.span(Tone::Strong, "culvert "),
            ink.span(Tone::Faint, format!("asking {address}")),
        ]);
    };
    let node = &heard.node;
    let name = clean(node.name.as_deref().unwrap_or(&address));
    let (ready, tone) = if node.ready { ("ready", Tone::Good) } else { ("not ready", Tone::Bad) };
    let up = human::seconds_since(&node.started, now).map_or_else(|| "-".to_owned(), human::ago);
    let counts =
        format!("  up {up}  pods {}  connections {}  tunnels {}", node.pods, node.open, node.tunnels);
    let more = if heard.is_all { "" } else { "  the list is longer than this: see `culvert get`" };
    let (more, counts) = (ink.span(Tone::Warning, more), Span::raw(counts));
    Line::from(vec![ink.span(Tone::Strong, name), Span::raw("  "), ink.span(tone, ready), counts, more])
}

fn tab_line(state: &State, ink: Ink) -> Line<'static> {
    let mut spans = Vec::new();
    for (position, tab) in Tab::ALL.into_iter().enumerate() {
        let title = format!(" {} {} ", position + 1, tab.title());
        let style = if tab == state.tab {
            Style::new().add_modifier(Modifier::REVERSED)
        } else {
            ink.style(Tone::Faint)
        };
        spans.push(Span::styled(title, style));
    }
    Line::from(spans)
}

fn lines(frame: &mut Frame<'_>, area: Rect, state: &State, now: OffsetDateTime, ink: Ink) {
    let table = state.lines(now);
    if table.rows.is_empty() && state.is_known() {
        let text = if state.filter.is_empty() { "nothing to show" } else { "nothing with this text" };
        frame.render_widget(Paragraph::new(ink.span(Tone::Faint, text)), area);
        return;
    }
    let mut all = table.lines(Some(area.width.into()), true).into_iter();
    let sorted = state.order();
    let heading = all.next().unwrap_or_default().into_iter().enumerate().flat_map(|(column, piece)| {
        let style = ink.style(Tone::Strong);
        let by = sorted.column == Some(column);
        spans(piece, if by { style.add_modifier(Modifier::UNDERLINED) } else { style })
    });
    let height = usize::from(area.height.saturating_sub(1));
    let selected = state.selected.min(table.rows.len().saturating_sub(1));
    let first = (selected + 1).saturating_sub(height);
    let mut drawn = vec![Line::from(heading.collect::<Vec<_>>())];
    drawn.extend(all.enumerate().skip(first).take(height).map(|(row, pieces)| {
        let line = Line::from(
            pieces
                .into_iter()
                .flat_map(|piece| {
                    let style = ink.style(piece.tone);
                    spans(piece, style)
                })
                .collect::<Vec<_>>(),
        );
        // Before anybody has moved, no line is looked at more than others.
        if row == selected && state.selected > 0 { line.patch_style(Modifier::REVERSED) } else { line }
    }));
    frame.render_widget(Paragraph::new(drawn), area);
}

fn spans(piece: Piece, style: Style) -> [Span<'static>; 3] {
    [Span::raw(piece.lead), Span::styled(piece.text, style), Span::raw(piece.trail)]
}

/// What is wrong, else what is typed, else what keys do.
fn footer(state: &State, now: OffsetDateTime, ink: Ink) -> Line<'static> {
    let age = state.heard.as_ref().map(|heard| (now - heard.taken).whole_seconds());
    if state.typing {
        return Line::from(vec![ink.span(Tone::Strong, "filter: "), Span::raw(format!("{}_", state.filter))]);
    }
    if state.paused {
        let since = age.map_or_else(String::new, |age| format!(" {} ago", human::ago(age)));
        return Line::from(ink.span(Tone::Warning, format!("paused{since}; p goes on")));
    }
    if let Some(trouble) = &state.trouble {
        let since = age.map_or_else(String::new, |age| format!("figures are {} old: ", human::ago(age)));
        return Line::from(ink.span(Tone::Bad, format!("{since}{trouble}")));
    }
    if let Some(age) = age.filter(|age| *age >= STALE) {
        return Line::from(ink.span(Tone::Warning, format!("no answer since {}", human::ago(age))));
    }
    let filter = if state.filter.is_empty() { String::new() } else { format!("with `{}`  ", state.filter) };
    Line::from(vec![
        Span::raw(filter),
        ink.span(Tone::Faint, "? help  / filter  s sort  r reverse  p pause  q quit"),
    ])
}

fn help(frame: &mut Frame<'_>, ink: Ink) {
    let widest = HELP.iter().map(|line| width_of(line)).max().unwrap_or(0);
    let (width, height) = (widest as u16 + 4, HELP.len() as u16 + 2);
    let area = frame.area();
    let place = Rect {
        x: area.width.saturating_sub(width) / 2,
        y: area.height.saturating_sub(height) / 2,
        width: width.min(area.width),
        height: height.min(area.height),
    };
    let text: Vec<_> = HELP.iter().map(|line| Line::from(format!(" {line}"))).collect();
    let block = Block::bordered().title(ink.span(Tone::Strong, " keys "));
    frame.render_widget(Clear, place);
    frame.render_widget(Paragraph::new(text).block(block), place);
}
