//! Annotations as people write them: a value that is right, or a complaint and no value.

use ebpf_free_iptables::MAX_VIRTUAL_INTERFACES;

use super::Annotations;

/// As much of a wrong value as is repeated to people; anybody may have written it.
const SHOWN: usize = 64;

/// The longest value that is looked at, in bytes: all that may be listed fits, and whoever writes more does not get the agent's time.
pub(super) const LONGEST: usize = 4096;

/// What is wrong with a value, and what would be right.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong(pub(super) String);

/// Reads annotations of a pod, and where it has none, those of its namespace.
pub(super) struct Reader<'a> {
    pod: &'a Annotations,
    namespace: Option<&'a Annotations>,
    complaints: &'a mut Vec<String>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(
        pod: &'a Annotations,
        namespace: Option<&'a Annotations>,
        complaints: &'a mut Vec<String>,
    ) -> Self {
        Self { pod, namespace, complaints }
    }

    /// The value, when there is one and all of it is right.
    pub(super) fn read<T>(&mut self, name: &str, parse: fn(&str) -> Result<T, Wrong>) -> Option<T> {
        let (value, whose) = match self.pod.get(name) {
            Some(value) => (value, ""),
            None => (self.namespace?.get(name)?, " of the namespace"),
        };
        match short(value).and_then(parse) {
            Ok(parsed) => Some(parsed),
            Err(Wrong(reason)) => {
                let value = shown(value);
                self.complaints
                    .push(format!("the annotation {name}: \"{value}\"{whose} has no effect: {reason}"));
                None
            }
        }
    }
}

fn short(value: &str) -> Result<&str, Wrong> {
    if value.len() > LONGEST {
        return Err(Wrong(format!("it is longer than {LONGEST} bytes; shorten it")));
    }
    Ok(value)
}

/// A foreign text, fit for a message.
pub(super) fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN).flat_map(char::escape_debug).collect();
    if text.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

/// The parts of a comma list, without the blanks around them. A text without anything in it is an empty list.
pub(super) fn list(text: &str) -> impl Iterator<Item = &str> {
    let parts = if text.trim().is_empty() { None } else { Some(text.split(',')) };
    parts.into_iter().flatten().map(str::trim)
}

/// A switch, spelled as other programs of the mesh accept it.
pub(super) fn switch(text: &str) -> Result<bool, Wrong> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(Wrong("it is neither true nor false; write one of them".to_owned())),
    }
}

/// Names of interfaces. What the packet rules would refuse is refused here, so that it is said to the one who wrote it.
pub(super) fn interfaces(text: &str) -> Result<Vec<String>, Wrong> {
    let mut names = Vec::new();
    for name in list(text) {
        if !is_interface(name) {
            let name = shown(name);
            return Err(Wrong(format!(
                "`{name}` is not the name of an interface; write names of at most 15 letters and digits, separated by commas"
            )));
        }
        if !names.iter().any(|known| known == name) {
            if names.len() == MAX_VIRTUAL_INTERFACES {
                return Err(Wrong(format!(
                    "these are more than {MAX_VIRTUAL_INTERFACES} interfaces; leave some out"
                )));
            }
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

fn is_interface(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.:@+".contains(&byte);
    let starts_well = name.as_bytes().first().is_some_and(|first| !b"-+".contains(first));
    starts_well && name.len() <= 15 && name.bytes().all(plain) && name != "." && name != ".."
}
