//! The counters a node shows on its metrics port.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};

use culvert_lab::{Behaviour, Lab, Node, http};

use super::talk::SOON;

const METRICS: ([u8; 4], u16) = ([127, 0, 0, 1], 15020);

/// The sum of all series of a counter whose labels contain all of `labels`, such as `reporter="source"`.
#[track_caller]
pub(crate) fn counter(node: &Node, name: &str, labels: &[&str]) -> u64 {
    let answer = http::get(node.netns(), METRICS, "/metrics").unwrap();
    assert_eq!(answer.status, 200);
    sum(&answer.text(), name, labels)
}

/// Waits until a connection is counted that ended with this flag: that is so a moment after its client has been told.
#[track_caller]
pub(crate) fn wait_for_flag(lab: &Lab, node: &Node, flag: &str) {
    let flag = format!("response_flags=\"{flag}\"");
    let is_counted = || http::get(node.netns(), METRICS, "/metrics").unwrap().text().contains(&flag);
    lab.wait_until(SOON, &format!("{flag} is counted"), is_counted).unwrap();
}

/// Answers every byte with two.
pub(crate) fn doubling() -> Behaviour {
    Behaviour::custom(|mut stream: TcpStream| {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes)?;
        stream.write_all(&bytes)?;
        stream.write_all(&bytes)?;
        stream.shutdown(Shutdown::Write)
    })
}

fn sum(text: &str, name: &str, labels: &[&str]) -> u64 {
    let series = text.lines().filter_map(|line| line.rsplit_once(' '));
    let wanted = |series: &str| {
        let (family, rest) = series.split_once('{').unwrap_or((series, ""));
        family == name && labels.iter().all(|label| rest.contains(label))
    };
    series.filter(|(series, _)| wanted(series)).map(|(_, value)| value.parse::<u64>().unwrap()).sum()
}

#[test]
fn only_the_series_with_all_labels_are_added_up() {
    let text = "# TYPE a counter\na{x=\"1\",y=\"1\"} 3\na{x=\"1\",y=\"2\"} 4\na{x=\"2\"} 5\nab{x=\"1\"} 6\n";
    assert_eq!(sum(text, "a", &["x=\"1\""]), 7);
    assert_eq!(sum(text, "a", &["x=\"1\"", "y=\"2\""]), 4);
    assert_eq!(sum(text, "a", &[]), 12);
    assert_eq!(sum(text, "b", &[]), 0);
}
