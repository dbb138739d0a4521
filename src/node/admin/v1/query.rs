//! The parameters of a request.
//!
//! In goes the part of a URI behind the question mark; out come values of the kinds there are. What is not understood is refused: a
//! filter with a slip of the pen must not look as if it were met by everything.

use axum::extract::Query as Parsed;
use axum::http::Uri;

use super::cursor;
use super::problem::{Refusal, quote};

/// Items on a page, unless something else is asked for.
const USUAL: usize = 200;

/// Items on a page, at most.
const MOST: usize = 1000;

/// The longest text to filter by, in characters.
const LONGEST: usize = 256;

/// The parameters given. Each is there once at most.
#[derive(Debug)]
pub(super) struct Query(Vec<(String, String)>);

/// A pod to filter by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) namespace: String,
    pub(super) name: String,
}

impl Query {
    /// Reads the parameters of a URI; the path `takes` these.
    pub(super) fn read(uri: &Uri, takes: &[&str]) -> Result<Self, Refusal> {
        let parsed = Parsed::<Vec<(String, String)>>::try_from_uri(uri);
        let Parsed(given) = parsed.map_err(|rejection| Refusal::bad_request(rejection.body_text()))?;
        for (at, (name, value)) in given.iter().enumerate() {
            if !takes.contains(&name.as_str()) {
                return Err(Refusal::bad_request(unknown(name, takes)));
            }
            if given[..at].iter().any(|(before, _)| before == name) {
                return Err(Refusal::bad_request(format!("`{name}` is given more than once")));
            }
            if value.is_empty() {
                return Err(Refusal::bad_request(format!(
                    "`{name}` is empty; leave it out, or give it a value"
                )));
            }
        }
        Ok(Self(given))
    }

    fn given(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// How many items are wanted.
    pub(super) fn limit(&self) -> Result<usize, Refusal> {
        let Some(text) = self.given("limit") else { return Ok(USUAL) };
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        let limit = digits.then(|| text.parse().ok()).flatten();
        let wrong = || {
            Refusal::bad_request(format!("`limit` is {}; it must be a number from 1 to {MOST}", quote(text)))
        };
        limit.filter(|limit| (1..=MOST).contains(limit)).ok_or_else(wrong)
    }

    /// Behind which text the page begins.
    pub(super) fn after_text(&self) -> Result<Option<Vec<u8>>, Refusal> {
        self.after(cursor::read_text)
    }

    /// Behind which numbers the page begins.
    pub(super) fn after_numbers(&self) -> Result<Option<[u64; 2]>, Refusal> {
        self.after(cursor::read_numbers)
    }

    fn after<T>(&self, read: impl Fn(&str) -> Option<T>) -> Result<Option<T>, Refusal> {
        let Some(text) = self.given("after") else { return Ok(None) };
        let wrong = || {
            let text = quote(text);
            Refusal::bad_request(format!(
                "`after` is {text}; it must be the `next` of the page before, with the same `sort`"
            ))
        };
        read(text).map(Some).ok_or_else(wrong)
    }

    /// A text to look for.
    pub(super) fn text(&self, name: &str) -> Result<Option<String>, Refusal> {
        let Some(text) = self.given(name) else { return Ok(None) };
        if text.chars().count() > LONGEST {
            return Err(Refusal::bad_request(format!("`{name}` is longer than {LONGEST} characters")));
        }
        Ok(Some(text.to_owned()))
    }

    /// One of the words in a table.
    pub(super) fn word<T: Copy>(&self, name: &str, table: &[(&str, T)]) -> Result<Option<T>, Refusal> {
        let Some(text) = self.given(name) else { return Ok(None) };
        let found = table.iter().find(|(word, _)| *word == text);
        let wrong = || {
            let words: Vec<&str> = table.iter().map(|(word, _)| *word).collect();
            Refusal::bad_request(format!(
                "`{name}` is {}; it must be one of: {}",
                quote(text),
                words.join(", ")
            ))
        };
        found.map(|(_, value)| Some(*value)).ok_or_else(wrong)
    }

    /// The stable name of a reason, whether or not there is one of this name.
    pub(super) fn reason(&self) -> Result<Option<String>, Refusal> {
        let Some(text) = self.text("reason")? else { return Ok(None) };
        if !text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_') {
            let wrong = "it must be like `reason` of an outcome: small letters, digits and `_`";
            return Err(Refusal::bad_request(format!("`reason` is {}; {wrong}", quote(&text))));
        }
        Ok(Some(text))
    }

    /// A pod.
    pub(super) fn pod(&self) -> Result<Option<Named>, Refusal> {
        let Some(text) = self.text("pod")? else { return Ok(None) };
        let named = text
            .split_once('/')
            .filter(|(namespace, name)| !namespace.is_empty() && !name.is_empty() && !name.contains('/'));
        let wrong =
            || Refusal::bad_request(format!("`pod` is {}; it must be `namespace/name`", quote(&text)));
        let (namespace, name) = named.ok_or_else(wrong)?;
        Ok(Some(Named { namespace: namespace.into(), name: name.into() }))
    }
}

fn unknown(name: &str, takes: &[&str]) -> String {
    let name = quote(name);
    match takes {
        [] => format!("{name} is no parameter of this path; it takes none"),
        takes => format!("{name} is no parameter of this path; it takes: {}", takes.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<Query, Refusal> {
        let uri = format!("http://node/v1/connections?{query}").parse().unwrap();
        Query::read(&uri, &["limit", "after", "pod", "reason", "q", "sort"])
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for query in ["limits=1", "limit=1&limit=1", "limit=", "limit", "=1", "q=a&Q=b", "%00=1", "pod[]=a/b"]
        {
            assert!(read(query).is_err(), "{query}");
        }
        for query in ["", "&", "limit=1&q=a"] {
            assert!(read(query).is_ok(), "{query}");
        }
    }

    #[test]
    fn a_page_has_a_bound() {
        assert_eq!(read("").unwrap().limit(), Ok(USUAL));
        for (text, limit) in [("1", 1), ("1000", 1000), ("007", 7)] {
            assert_eq!(read(&format!("limit={text}")).unwrap().limit(), Ok(limit), "{text}");
        }
        for text in ["0", "1001", "-1", "%2B1", "1.0", "1e2", "x", "99999999999999999999999", "%F0%9F%98%80"]
        {
            assert!(read(&format!("limit={text}")).unwrap().limit().is_err(), "{text}");
        }
    }

    #[test]
    fn a_pod_is_named_by_namespace_and_name() {
        let pod = |text: &str| read(&format!("pod={text}")).unwrap().pod();
        let named = Named { namespace: "shop".into(), name: "web".into() };
        assert_eq!(pod("shop/web"), Ok(Some(named.clone())));
        assert_eq!(pod("shop%2Fweb"), Ok(Some(named)));
        for text in ["web", "/web", "shop/", "a/b/c", "/"] {
            assert!(pod(text).is_err(), "{text}");
        }
    }

    #[test]
    fn texts_and_words_have_bounds() {
        assert!(read(&format!("q={}", "é".repeat(LONGEST))).unwrap().text("q").is_ok());
        assert!(read(&format!("q={}", "é".repeat(LONGEST + 1))).unwrap().text("q").is_err());
        let table = [("age", 1), ("bytes", 2)];
        assert_eq!(read("sort=bytes").unwrap().word("sort", &table), Ok(Some(2)));
        assert_eq!(read("q=x").unwrap().word("sort", &table), Ok(None));
        assert!(read("sort=Bytes").unwrap().word("sort", &table).is_err());
        assert_eq!(read("reason=denied").unwrap().reason(), Ok(Some("denied".into())));
        assert!(read("reason=Policy-Denied").unwrap().reason().is_err());
    }

    #[test]
    fn a_problem_says_what_to_do_and_repeats_little() {
        let problem = format!("{:?}", read(&"x".repeat(5000)).unwrap_err());
        assert!(problem.contains("it takes: limit, after") && problem.len() < 500, "{problem}");
    }
}
