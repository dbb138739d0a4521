//! What is said before and after the bytes: lines of a fixed length, so that nothing has to be looked for in what comes.

use super::pattern::Privacy;

/// The length of a header, an answer and a trailer.
pub(crate) const LINE: usize = 160;

/// What a client says first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) privacy: Privacy,
    pub(crate) nonce: u64,
    /// Who says it: a name without spaces.
    pub(crate) client: String,
    /// How many bytes the client is going to send behind this.
    pub(crate) up: u64,
    /// How many the server shall send.
    pub(crate) down: u64,
    /// After how many the server shall reset the connection.
    pub(crate) reset_after: Option<u64>,
}

impl Header {
    pub(crate) fn line(&self) -> Vec<u8> {
        let Self { nonce, client, up, down, reset_after, .. } = self;
        let reset = reset_after.map_or_else(|| "never".to_owned(), |after| after.to_string());
        line(self.privacy, &format!("{nonce:016x} {client} {up} {down} {reset}"))
    }

    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let (privacy, words) = words(bytes)?;
        let [nonce, client, up, down, reset] = words[..] else { return None };
        Some(Self {
            privacy,
            nonce: u64::from_str_radix(nonce, 16).ok()?,
            client: client.to_owned(),
            up: up.parse().ok()?,
            down: down.parse().ok()?,
            reset_after: if reset == "never" { None } else { Some(reset.parse().ok()?) },
        })
    }
}

/// What a server says first: who it is, and whom it has heard.
pub(crate) fn answer(privacy: Privacy, nonce: u64, name: &str) -> Vec<u8> {
    line(privacy, &format!("{nonce:016x} {name}"))
}

/// The nonce and the name of an answer.
pub(crate) fn read_answer(bytes: &[u8]) -> Option<(u64, String)> {
    let (_, words) = words(bytes)?;
    let [nonce, name] = words[..] else { return None };
    Some((u64::from_str_radix(nonce, 16).ok()?, name.to_owned()))
}

/// What a server says last, when all has come.
pub(crate) fn trailer(privacy: Privacy, nonce: u64) -> Vec<u8> {
    answer(privacy, nonce, "whole")
}

fn line(privacy: Privacy, text: &str) -> Vec<u8> {
    let mut line = [privacy.marker(), b" ", text.as_bytes()].concat();
    assert!(line.len() < LINE, "`{text}` is too long");
    line.resize(LINE - 1, b' ');
    line.push(b'\n');
    line
}

fn words(line: &[u8]) -> Option<(Privacy, Vec<&str>)> {
    let of = |privacy: Privacy| Some((privacy, line.strip_prefix(privacy.marker())?));
    let (privacy, rest) = of(Privacy::Confidential).or_else(|| of(Privacy::Public))?;
    let text = str::from_utf8(rest).ok()?.strip_suffix('\n')?;
    Some((privacy, text.split_whitespace().collect()))
}

#[test]
fn what_is_said_is_heard() {
    for reset_after in [None, Some(3)] {
        let (privacy, client) = (Privacy::Public, "alice".to_owned());
        let header = Header { privacy, nonce: 9, client, up: 1, down: 2, reset_after };
        assert_eq!(header.line().len(), LINE);
        assert_eq!(Header::read(&header.line()), Some(header));
    }
    assert_eq!(read_answer(&answer(Privacy::Confidential, 5, "shop")), Some((5, "shop".to_owned())));
    assert_eq!(Header::read(&answer(Privacy::Confidential, 5, "shop")), None);
}
