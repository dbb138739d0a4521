use std::sync::mpsc;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use time::OffsetDateTime;

use super::keys::Next;
use super::poller::{News, Poller, Wish};
use super::sample::List;
use super::*;
use crate::fake_node::{FakeNode, options, sayings};
use crate::get::kinds::Ended;

/// What the node of the shop says of a tab so many seconds after the first look, which is at noon.
fn sample(tab: Tab, seconds: u64) -> Sample {
    let list = match tab {
        Tab::Connections => List::Connections(sayings::connections()),
        Tab::Traffic => List::Traffic(sayings::traffic()),
        Tab::Refusals => List::Refusals(sayings::refusals().into_iter().map(Ended).collect()),
        Tab::Certificates => List::Certificates(sayings::identities()),
        Tab::Tunnels => List::Tunnels(sayings::tunnels()),
    };
    Sample { node: sayings::node(), list, is_all: true, taken: at(seconds), at: Duration::from_secs(seconds) }
}

fn at(seconds: u64) -> OffsetDateTime {
    sayings::noon() + Duration::from_secs(seconds)
}

fn state(tab: Tab) -> State {
    let mut state = State::new(tab, "", "127.0.0.1:15000");
    state.accept(sample(tab, 0));
    state
}

fn press(state: &mut State, keys: &str) {
    for key in keys.chars() {
        state.press(KeyEvent::new(KeyCode::Char(key), KeyModifiers::NONE));
    }
}

fn press_key(state: &mut State, key: KeyCode) -> Next {
    state.press(KeyEvent::new(key, KeyModifiers::NONE))
}

/// The screen a second after the first look.
fn screen(state: &State) -> String {
    frame::picture(state, at(1), 120, 8)
}

/// All tabs, as they look a second after the first look; throughput after two.
const SCREENS: &str = include_str!("tests/screens.txt");

#[test]
fn the_screens_look_like_this() {
    let mut screens = String::new();
    for tab in Tab::ALL {
        let mut state = state(tab);
        if tab == Tab::Traffic {
            let mut second = sample(tab, 2);
            if let List::Traffic(pairs) = &mut second.list {
                pairs[0].bytes.to_server += 3_000_000;
                pairs[0].connections += 5;
            }
            state.accept(second);
        }
        screens += &format!("--- {}\n{}", tab.title(), screen(&state));
    }
    let mut state = state(Tab::Tunnels);
    press(&mut state, "?");
    screens += &format!("--- ?\n{}", frame::picture(&state, at(1), 100, 18));
    assert_eq!(screens, SCREENS, "\n{screens}");
}

#[test]
fn no_terminal_is_too_small() {
    let mut state = state(Tab::Connections);
    for help in [false, true] {
        state.help = help;
        for (width, height) in (0..30).flat_map(|width| (0..12).map(move |height| (width, height))) {
            frame::picture(&state, at(1), width, height);
        }
    }
}

#[test]
fn only_lines_with_the_text_that_is_typed_are_shown() {
    let mut state = state(Tab::Connections);
    press(&mut state, "/HBONEx");
    assert!(screen(&state).contains("filter: HBONEx_"), "{}", screen(&state));
    assert!(screen(&state).contains("nothing with this text"), "{}", screen(&state));
    press_key(&mut state, KeyCode::Backspace);
    press_key(&mut state, KeyCode::Enter);
    assert!(
        screen(&state).contains("00a1  out") && !screen(&state).contains("00b2  in"),
        "{}",
        screen(&state)
    );
    assert!(screen(&state).contains("with `HBONE`"), "{}", screen(&state));
    assert_eq!(press_key(&mut state, KeyCode::Esc), Next::Go);
    assert!(screen(&state).contains("00b2  in"), "{}", screen(&state));
}

/// The first word of each line of the list.
fn first_words(state: &State) -> Vec<String> {
    let table = state.lines(at(1));
    table.rows.iter().map(|row| row[0].text.clone()).collect()
}

#[test]
fn lines_are_sorted_by_any_column_and_both_ways() {
    let (older, newer) = ("00000000000000a1", "00000000000000b2");
    let mut state = state(Tab::Connections);
    assert_eq!(first_words(&state), [newer, older], "by age");
    press(&mut state, "s");
    assert_eq!(first_words(&state), [newer, older], "by bytes to the server");
    press(&mut state, "r");
    assert_eq!(first_words(&state), [older, newer], "the other way");
    press(&mut state, "rSS");
    assert_eq!(first_words(&state), [newer, older], "by stage: connecting, open");
    press(&mut state, "sssss");
    assert_eq!(first_words(&state), [older, newer], "as the node says it");
    press(&mut state, "s");
    assert_eq!(first_words(&state), [older, newer], "by id");
}

#[test]
fn each_tab_keeps_its_order() {
    let mut state = state(Tab::Connections);
    press(&mut state, "r2sr1");
    state.accept(sample(Tab::Connections, 1));
    assert_eq!(first_words(&state)[0], "00000000000000a1");
}

#[test]
fn what_is_shown_in_a_pause_stays_and_says_how_old_it_is() {
    let mut state = state(Tab::Tunnels);
    press(&mut state, "p");
    let mut other = sample(Tab::Tunnels, 5);
    other.list = List::Tunnels(Vec::new());
    state.accept(other.clone());
    let paused = frame::picture(&state, at(7), 110, 8);
    assert!(paused.contains("doubtful") && paused.contains("paused 7s ago; p goes on"), "{paused}");
    press(&mut state, "p");
    state.accept(other);
    assert!(screen(&state).contains("nothing to show"), "{}", screen(&state));
}

#[test]
fn old_figures_are_not_taken_for_new_ones() {
    let mut state = state(Tab::Tunnels);
    let footer = |state: &State, seconds| {
        frame::picture(state, at(seconds), 110, 8).lines().last().unwrap().to_owned()
    };
    assert!(footer(&state, 2).starts_with("? help"));
    assert_eq!(footer(&state, 4), "no answer since 4s");
    state.complain("no node answers at 127.0.0.1:15000: \u{1b}[2J");
    assert_eq!(footer(&state, 4), "figures are 4s old: no node answers at 127.0.0.1:15000: \\u{1b}[2J");
    state.accept(sample(Tab::Tunnels, 5));
    assert!(footer(&state, 6).starts_with("? help"));
}

#[test]
fn before_the_node_has_said_anything_it_says_so() {
    let mut state = State::new(Tab::Connections, "", "10.0.0.7:15000");
    assert!(screen(&state).starts_with("culvert asking 10.0.0.7:15000\n"), "{}", screen(&state));
    assert!(!screen(&state).contains("nothing to show"));
    state.complain("connection refused");
    assert!(screen(&state).ends_with("\nconnection refused\n"), "{}", screen(&state));
}

#[test]
fn what_was_asked_for_another_tab_is_not_shown() {
    let mut state = state(Tab::Connections);
    press_key(&mut state, KeyCode::Tab);
    state.accept(sample(Tab::Connections, 1));
    assert!(!screen(&state).contains("00a1"), "{}", screen(&state));
    press_key(&mut state, KeyCode::BackTab);
    assert!(screen(&state).contains("00a1"), "{}", screen(&state));
    press_key(&mut state, KeyCode::BackTab);
    assert_eq!(state.tab, Tab::Tunnels);
    press(&mut state, "4");
    assert_eq!(state.tab, Tab::Certificates);
}

#[tokio::test]
async fn of_a_very_long_list_the_beginning_is_asked_for_and_said_to_be_one() {
    fn endless(target: &str) -> (u16, String) {
        if target == "/v1/node" {
            return sayings::shop(target);
        }
        let after: u64 = target.split_once("after=").map_or(0, |(_, after)| after.parse().unwrap());
        let items = vec![sayings::tunnels().remove(0); 1000];
        (200, sayings::said(&culvert_api::Page { items, next: Some((after + 1).to_string()) }))
    }
    let node = FakeNode::start(endless).await;
    let asked = Options { tab: Tab::Tunnels, ..one_picture(&node) };
    let state = seen(&asked, EVERY).await.unwrap();
    assert_eq!((node.asked().len(), state.lines(at(1)).rows.len()), (6, 5000));
    assert!(
        screen(&state).lines().next().unwrap().contains("the list is longer than this"),
        "{}",
        screen(&state)
    );
}

#[test]
fn a_line_below_the_screen_is_scrolled_to() {
    let mut state = State::new(Tab::Connections, "", "");
    let mut many = sample(Tab::Connections, 0);
    let one = sayings::connections().remove(0);
    let numbered =
        |n: u64| culvert_api::Connection { id: format!("line-{n:02}"), milliseconds: n, ..one.clone() };
    many.list = List::Connections((0..50).map(numbered).collect());
    state.accept(many);
    assert!(screen(&state).contains("line-00") && !screen(&state).contains("line-05"));
    press(&mut state, "jjjjjj");
    assert!(screen(&state).contains("line-06") && !screen(&state).contains("line-01"), "{}", screen(&state));
    press_key(&mut state, KeyCode::End);
    press_key(&mut state, KeyCode::Down);
    assert_eq!(state.selected, 49);
    press_key(&mut state, KeyCode::PageUp);
    assert_eq!(state.selected, 29);
    press_key(&mut state, KeyCode::Home);
    press(&mut state, "k");
    assert_eq!(state.selected, 0);
}

#[test]
fn there_is_always_a_way_out() {
    let control_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    let mut state = state(Tab::Connections);
    assert_eq!(state.press(KeyEvent::new(KeyCode::Char('q'), KeyModifiers::NONE)), Next::Quit);
    assert_eq!(press_key(&mut state, KeyCode::Esc), Next::Quit);
    press(&mut state, "?");
    assert_eq!(press_key(&mut state, KeyCode::Esc), Next::Go, "out of the help");
    press(&mut state, "/qc");
    assert_eq!(state.filter, "qc");
    assert_eq!(state.press(control_c), Next::Quit);
}

#[tokio::test]
async fn one_picture_of_throughput_takes_two_looks() {
    let node = FakeNode::start(sayings::shop).await;
    let mut asked = one_picture(&node);
    let text = frame::text(&seen(&asked, Duration::from_millis(1)).await.unwrap(), at(1), None);
    assert_eq!(node.asked(), ["/v1/node", "/v1/traffic?limit=1000"].repeat(2));
    assert!(text.contains("TO SERVER/s") && text.contains(" 0 B "), "{text}");
    asked.tab = Tab::Tunnels;
    let text = frame::text(&seen(&asked, EVERY).await.unwrap(), at(1), None);
    assert_eq!(node.asked().len(), 6);
    assert!(text.contains("doubtful"), "{text}");
}

fn one_picture(node: &FakeNode) -> Options {
    Options { tab: Tab::Traffic, filter: String::new(), once: true, node: options(&node.address.to_string()) }
}

/// What the poller tells, until it is something worth it.
fn next(news: &mpsc::Receiver<News>) -> News {
    loop {
        let told = news.recv_timeout(Duration::from_secs(20)).expect("there are news in time");
        if !matches!(told, News::Asking(_)) {
            return told;
        }
    }
}

fn tab_of(news: &News) -> Option<Tab> {
    if let News::Heard(sample) = news { Some(sample.tab()) } else { None }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_node_is_asked_for_what_is_on_the_screen_and_only_for_that() {
    let node = FakeNode::start(sayings::shop).await;
    let (sender, news) = mpsc::channel();
    let poller = Poller::start(node.options(), Tab::Connections, sender).unwrap();
    assert_eq!(tab_of(&next(&news)), Some(Tab::Connections));
    poller.wish(Wish::Show(Tab::Tunnels));
    while tab_of(&next(&news)) != Some(Tab::Tunnels) {}
    assert!(!node.asked().iter().any(|path| path.starts_with("/v1/traffic")), "{:?}", node.asked());
    drop(poller);
    while let Ok(told) = news.recv_timeout(Duration::from_secs(20)) {
        assert!(!matches!(told, News::Trouble(_)), "{told:?}");
    }
    assert!(matches!(news.try_recv(), Err(mpsc::TryRecvError::Disconnected)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_comes_back_is_seen_again() {
    let node = FakeNode::start(sayings::shop).await;
    let (sender, news) = mpsc::channel();
    let options = options(&format!("unix:{}", node.socket.display()));
    let (app, socket) = (node.app(), node.socket.clone());
    let _poller = Poller::start(options, Tab::Refusals, sender).unwrap();
    assert_eq!(tab_of(&next(&news)), Some(Tab::Refusals));
    drop(node);
    while !matches!(next(&news), News::Trouble(trouble) if trouble.starts_with("no node answers at unix:")) {}
    let again = tokio::net::UnixListener::bind(&socket).unwrap();
    let server = tokio::spawn(async move { axum::serve(again, app).await.unwrap() });
    while tab_of(&next(&news)) != Some(Tab::Refusals) {}
    server.abort();
    std::fs::remove_file(&socket).unwrap();
}
