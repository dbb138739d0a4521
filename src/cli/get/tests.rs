use clap::Parser as _;

use super::*;
use crate::fake_node::{FakeNode, sayings};
use crate::output::Paint;

#[derive(Debug, clap::Parser)]
struct Line {
    #[command(flatten)]
    get: Options,
}

async fn asked_of(node: &FakeNode, words: &str, screen: &Screen) -> Result<Report, Error> {
    let address = node.address.to_string();
    let words = words.split_whitespace();
    let line = Line::parse_from(["get", "--node", &address].into_iter().chain(words)).get;
    report(&line, sayings::noon(), screen).await
}

/// A session at a node of a shop: what is typed, and what is printed.
const SESSION: &str = include_str!("tests/session.txt");
const PROMPT: &str = "$ culvert get ";

#[tokio::test]
async fn a_session_looks_like_this() {
    let node = FakeNode::start(sayings::shop).await;
    let mut session = String::new();
    for words in SESSION.lines().filter_map(|line| line.strip_prefix(PROMPT)) {
        let report = asked_of(&node, words, &Screen::plain()).await.unwrap();
        session += &format!("{PROMPT}{words}\n{}\n", report.text);
    }
    assert_eq!(session, SESSION, "\n{session}");
}

#[tokio::test]
async fn every_kind_is_in_the_session() {
    for kind in <Kind as clap::ValueEnum>::value_variants() {
        let name = clap::ValueEnum::to_possible_value(kind).unwrap().get_name().to_owned();
        assert!(SESSION.contains(&format!("{PROMPT}{name}\n")), "{name}");
    }
}

#[tokio::test]
async fn programs_get_the_whole_of_what_the_node_said() {
    let node = FakeNode::start(sayings::shop).await;
    for format in ["json", "yaml"] {
        let report = asked_of(&node, &format!("workloads api -o {format}"), &Screen::plain()).await.unwrap();
        let read: serde_json::Value = serde_saphyr::from_str(&report.text).unwrap();
        assert_eq!(read["items"].as_array().map(Vec::len), Some(1), "{}", report.text);
        assert_eq!(read["items"][0]["colour"], "new in a later version");
    }
    let report = asked_of(&node, "node -o json", &Screen::plain()).await.unwrap();
    assert_eq!(serde_json::from_str::<culvert_api::Node>(&report.text).unwrap(), sayings::node());
}

#[tokio::test]
async fn a_table_is_no_wider_than_the_terminal_unless_it_is_asked_for() {
    let node = FakeNode::start(sayings::shop).await;
    let screen = Screen { width: Some(80), paint: Paint::new(true) };
    let widest = |text: &str| {
        let plain = text.split('\u{1b}').map(|piece| piece.split_once('m').map_or(piece, |(_, rest)| rest));
        plain.collect::<String>().lines().map(output::width_of).max()
    };
    let text = asked_of(&node, "tunnels", &screen).await.unwrap().text;
    assert_eq!(widest(&text), Some(80), "{text}");
    let text = asked_of(&node, "tunnels -o wide", &screen).await.unwrap().text;
    assert!(widest(&text) > Some(200), "{text}");
}

#[tokio::test]
async fn an_empty_list_says_so_beside_the_output() {
    let node = FakeNode::start(sayings::nothing).await;
    let report = asked_of(&node, "connections web -n shop", &Screen::plain()).await.unwrap();
    let remark = format!("no connections with `web` in the name in namespace shop at {}", node.address);
    assert_eq!(report, Report { text: String::new(), remark: Some(remark) });
    let report = asked_of(&node, "pods -o json", &Screen::plain()).await.unwrap();
    assert_eq!(report.text, "{\n  \"items\": []\n}\n");
}

#[tokio::test]
async fn the_node_is_asked_for_one_namespace_where_it_can_tell() {
    let node = FakeNode::start(sayings::shop).await;
    for words in ["services -n shop", "pods -n shop"] {
        asked_of(&node, words, &Screen::plain()).await.unwrap();
    }
    assert_eq!(node.asked(), ["/v1/services?namespace=shop&limit=1000", "/v1/pods?limit=1000"]);
}

#[tokio::test]
async fn an_unknown_column_is_found_before_anybody_is_asked() {
    let node = FakeNode::start(sayings::shop).await;
    let error = asked_of(&node, "ejected --sort-by size", &Screen::plain()).await.unwrap_err();
    assert_eq!(error.to_string(), "there is no column `size`; use one of: pod, address, left, for, workload");
    assert_eq!(node.asked(), [""; 0]);
}
