//! What plugin and agent say to each other over the agent's socket: JSON over HTTP.
//!
//! An answer comes with status 200; a [`Refusal`] with 400 if asking again is of no use, and with 503 otherwise.

use std::borrow::Cow;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// The plugin asks whether anybody is there, before it asks anything that may take long.
pub const HELLO: &str = "/v1/hello";

/// In bytes. Texts may quote what pods or runtimes say, who could go on without end.
const LONGEST_TEXT: usize = 2 << 10;

/// A text, or as much of it as is fit for a message.
pub fn excerpt(text: &str) -> Cow<'_, str> {
    if text.len() <= LONGEST_TEXT {
        return Cow::Borrowed(text);
    }
    let end = (0..=LONGEST_TEXT).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
    Cow::Owned(format!("{}... ({} bytes in all)", &text[..end], text.len()))
}

/// A pod that is being started, checked or taken down, as the runtime describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// The sandbox, by the runtime's name.
    pub container_id: String,
    /// The file of its network namespace, as the host names it. A runtime that takes a pod down may not know any more.
    #[serde(default)]
    pub netns: Option<String>,
    /// Its interface to the network.
    pub ifname: String,
    /// The pod's namespace.
    pub pod_namespace: String,
    /// Its name.
    pub pod_name: String,
    /// Old runtimes do not say.
    #[serde(default)]
    pub pod_uid: Option<String>,
    /// What the plugins before this one have given it.
    #[serde(default)]
    pub addresses: Vec<IpAddr>,
}

/// The pod may go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// Whether it is in the mesh, all of it verified.
    pub enrolled: bool,
    /// Why it is not, or what is odd about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// The pod may not go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Refusal {
    /// Why not.
    pub reason: String,
    /// `false` while the agent does not know the cluster, and so decides nothing.
    pub ready: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_between_characters() {
        for text in ["", "short", &"x".repeat(LONGEST_TEXT)] {
            assert_eq!(excerpt(text), text);
        }
        for text in ["x", "xä", "😀", "x😀"].map(|piece| piece.repeat(1 << 20)) {
            let cut = excerpt(&text);
            let (head, tail) = cut.split_once("... (").unwrap();
            assert!(text.starts_with(head) && head.len() > LONGEST_TEXT - 4 && cut.len() < LONGEST_TEXT + 40);
            assert_eq!(tail, format!("{} bytes in all)", text.len()));
        }
    }
}
