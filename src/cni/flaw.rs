//! Whether what a runtime says of a pod can be true.
//!
//! In goes a [`Request`], out comes the first thing in it that cannot: names that are none, and could mean something else where they
//! are used, in paths and messages.

use std::fmt;

use crate::message::Request;

/// What is wrong.
#[derive(Debug, PartialEq, Eq)]
pub struct Flaw {
    /// The variable of CNI it comes from.
    what: &'static str,
    /// The beginning of what it is.
    value: String,
}

/// So much of a wrong value is shown, in characters.
const SHOWN: usize = 64;

impl Request {
    /// What cannot be true of it.
    pub fn flaw(&self) -> Option<Flaw> {
        let given = |value: &Option<String>, is: fn(&str) -> bool| value.as_deref().is_none_or(is);
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let all = [
            ("K8S_POD_NAMESPACE", is_name(&self.pod_namespace), self.pod_namespace.clone()),
            ("K8S_POD_NAME", is_name(&self.pod_name), self.pod_name.clone()),
            ("K8S_POD_UID", given(&self.pod_uid, is_uid), text(&self.pod_uid)),
            ("CNI_CONTAINERID", is_container(&self.container_id), self.container_id.clone()),
            ("CNI_NETNS", given(&self.netns, is_path), text(&self.netns)),
            ("CNI_IFNAME", is_interface(&self.ifname), self.ifname.clone()),
        ];
        let wrong = all.into_iter().find(|(_, is_right, _)| !is_right);
        wrong.map(|(what, _, value)| Flaw { what, value: value.chars().take(SHOWN).collect() })
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Escaped: it may be meant for the terminal of whoever reads it.
        write!(f, "{} cannot be right: it begins with {:?}", self.what, self.value)
    }
}

/// What Kubernetes calls pods and namespaces.
fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
    (1..=253).contains(&text.len()) && text.bytes().all(plain) && !text.starts_with('.')
}

/// A UUID, or whatever a static pod's file says.
fn is_uid(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(is_word)
}

fn is_container(text: &str) -> bool {
    (1..=256).contains(&text.len()) && text.bytes().all(is_word)
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._:".contains(&byte)
}

fn is_path(text: &str) -> bool {
    text.starts_with('/') && text.len() < 4096 && !text.chars().any(char::is_control)
}

/// As the kernel has it.
fn is_interface(text: &str) -> bool {
    let odd =
        |character: char| character.is_whitespace() || character.is_control() || "/:".contains(character);
    (1..=15).contains(&text.len()) && !text.chars().any(odd)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Request {
        Request {
            container_id: "c1".into(),
            netns: Some("/run/netns/cni-1".into()),
            ifname: "eth0".into(),
            pod_namespace: "shop".into(),
            pod_name: "web-0.x".into(),
            pod_uid: Some("0a1b-2c".into()),
            addresses: Vec::new(),
        }
    }

    #[test]
    fn what_can_be_true_is_taken() {
        assert_eq!(request().flaw(), None);
        let sparing = Request { netns: None, pod_uid: None, ..request() };
        assert_eq!(sparing.flaw(), None);
        let longest = Request { pod_name: "x".repeat(253), container_id: "f".repeat(64), ..request() };
        assert_eq!(longest.flaw(), None);
    }

    #[test]
    fn what_cannot_is_named_and_shown_in_part_and_harmlessly() {
        let long = "x".repeat(100_000);
        for bad in ["", "..", "a/b", "a?b", "A", "ä", "\u{1b}[2J", "a b", &long] {
            let named = |request: Request| request.flaw().map(|flaw| flaw.what);
            assert_eq!(
                named(Request { pod_namespace: bad.into(), ..request() }),
                Some("K8S_POD_NAMESPACE"),
                "{bad}"
            );
            assert_eq!(named(Request { pod_name: bad.into(), ..request() }), Some("K8S_POD_NAME"), "{bad}");
            assert_eq!(named(Request { netns: Some(bad.into()), ..request() }), Some("CNI_NETNS"), "{bad}");
        }
        for bad in ["", "a/b", "\u{7}", "a b", &long] {
            let named = |request: Request| {
                let shown = request.flaw().unwrap().to_string();
                assert!(shown.len() < 200 && !shown.contains('\u{7}'), "{shown}");
                request.flaw().map(|flaw| flaw.what)
            };
            assert_eq!(
                named(Request { pod_uid: Some(bad.into()), ..request() }),
                Some("K8S_POD_UID"),
                "{bad}"
            );
            assert_eq!(
                named(Request { container_id: bad.into(), ..request() }),
                Some("CNI_CONTAINERID"),
                "{bad}"
            );
            assert_eq!(named(Request { ifname: bad.into(), ..request() }), Some("CNI_IFNAME"), "{bad}");
        }
    }
}
