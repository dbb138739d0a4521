use clap::Parser as _;

use super::*;
use crate::fake_node::{FakeNode, sayings};
use crate::output::{Paint, width_of};

#[derive(Debug, clap::Parser)]
struct Line {
    #[command(flatten)]
    why: Options,
}

fn line(node: &FakeNode, words: &[&str]) -> Options {
    let address = node.address.to_string();
    Line::parse_from([&["why", "--node", &address], words].concat()).why
}

const DENIED: &str = "\
would shop/web-1 reach shop/api:80?

  ✓ source        shop/web-1 is a pod of this node
  ✓ service port  shop/api has port 80, which is 8080 of 2 endpoints
  · waypoint      there is none
  ✗ policy        shop/web-callers does not allow spiffe://cluster.local/ns/shop/sa/web
  ? tunnel        there was none lately

verdict: policy
  The policy shop/web-callers lets in others, and not this caller.
evidence:
  - 7 of 7 such connections were refused in the last 10 minutes
what to do:
  Add a rule for service account web to AuthorizationPolicy web-callers in namespace shop.
";

#[tokio::test]
async fn the_account_has_every_step_in_order_and_the_exit_code_says_that_somebody_is_to_blame() {
    let node = FakeNode::start(sayings::shop).await;
    let (text, code) = answer(&line(&node, &["shop/web-1", "shop/api:80"]), &Screen::plain()).await.unwrap();
    assert_eq!(text, DENIED);
    assert_eq!(code, 3);
    assert_eq!(node.asked(), ["/v1/why?source=shop%2Fweb-1&destination=shop%2Fapi%3A80"]);
}

#[tokio::test]
async fn when_nothing_is_wrong_the_exit_code_says_so() {
    let node = FakeNode::start(|_| (200, sayings::said(&sayings::fine()))).await;
    let asked = line(&node, &["--connection", "00000000000000a1", "-o", "wide"]);
    let (text, code) = answer(&asked, &Screen::plain()).await.unwrap();
    let expected = "\
connection 00000000000000a1
  shop/web-1 -> shop/api-1:8080, since 2026-03-01T11:58:59Z (61s), 2.5 MB there and 900 B back
  dialled 10.96.0.7:80, next hop 10.1.1.6:15008

  ✓ source        shop/web-1 is a pod of this node
  ✓ service port  shop/api has port 80, which is 8080 of 2 endpoints

verdict: nobody
  The connection is open, and both sides take what the other sends.
";
    assert_eq!(text, expected);
    assert_eq!(code, 0);
    assert_eq!(node.asked(), ["/v1/connections/00000000000000a1/why"]);
}

#[tokio::test]
async fn programs_get_what_the_node_said() {
    let node = FakeNode::start(sayings::shop).await;
    for format in ["json", "yaml"] {
        let asked = line(&node, &["a", "b:80", "-o", format]);
        let (text, code) = answer(&asked, &Screen::plain()).await.unwrap();
        let read: Why = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(read, sayings::denied(), "{format}");
        assert_eq!(code, 3);
    }
}

#[test]
fn a_narrow_terminal_has_no_longer_lines() {
    let screen = Screen { width: Some(48), paint: Paint::new(false) };
    let expected = "\
would shop/web-1 reach shop/api:80?

  ✓ source        shop/web-1 is a pod of this
                  node
";
    let text = account::of(&sayings::denied(), false, &screen);
    assert!(text.starts_with(expected), "{text}");
    let long = |line: &&str| width_of(line) > 48 && !line.contains("spiffe://");
    assert_eq!(text.lines().find(long), None, "{text}");
}

#[test]
fn what_peers_say_does_not_reach_the_terminal() {
    let mut why = sayings::denied();
    let odd = "\u{1b}]0;x\u{7}";
    why.steps[0].what.push_str(odd);
    why.steps[0].found.push_str(odd);
    why.verdict.sentence.push_str(odd);
    why.verdict.evidence[0].push_str(odd);
    assert!(!account::of(&why, true, &Screen::plain()).contains(['\u{1b}', '\u{7}']));
}

#[test]
fn one_question_is_asked_and_it_is_whole() {
    let odd: [&[&str]; 4] =
        [&["why"], &["why", "a"], &["why", "a", "b", "--connection", "c"], &["why", "--connection"]];
    for words in odd {
        assert_eq!(Line::try_parse_from(words).unwrap_err().exit_code(), 2, "{words:?}");
    }
}
