//! Service accounts: in settings `<namespace>/<name>`, as users of the API server `system:serviceaccount:<namespace>:<name>`.

use std::fmt;
use std::str::FromStr;

/// A service account.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Account {
    /// Where it is.
    pub namespace: String,
    /// Its name there.
    pub name: String,
}

/// A text that names no account.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no service account; write <namespace>/<name>")]
pub struct NotAnAccount(String);

impl Account {
    /// The account a user of the API server is; none for other users, or for one whose names would mean something else in a path.
    #[must_use]
    pub fn of_user(user: &str) -> Option<Self> {
        let parts: Vec<&str> = user.split(':').collect();
        let ["system", "serviceaccount", namespace, name] = parts[..] else { return None };
        (is_name(namespace) && is_name(name))
            .then(|| Self { namespace: namespace.to_owned(), name: name.to_owned() })
    }
}

impl FromStr for Account {
    type Err = NotAnAccount;

    fn from_str(text: &str) -> Result<Self, NotAnAccount> {
        let fine = |part: &str| is_name(part) && !part.contains('/');
        match text.split_once('/') {
            Some((namespace, name)) if fine(namespace) && fine(name) => {
                Ok(Self { namespace: namespace.to_owned(), name: name.to_owned() })
            }
            _ => Err(NotAnAccount(text.to_owned())),
        }
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Tells whether a text can be the name of an object in a path or a selector: whatever it is, it ends neither.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
    !text.is_empty() && text.len() <= 253 && text.bytes().all(plain) && !matches!(text, "." | "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_read_in_both_forms() {
        let account: Account = "mesh/culvert-node".parse().unwrap();
        assert_eq!(Account::of_user("system:serviceaccount:mesh:culvert-node"), Some(account.clone()));
        assert_eq!(account.to_string(), "mesh/culvert-node");
    }

    #[test]
    fn what_is_no_account_is_refused() {
        for text in ["", "/", "mesh", "mesh/", "/node", "mesh/a/b", "mesh/a b", "me?sh/a", "../a"] {
            assert_eq!(text.parse::<Account>(), Err(NotAnAccount(text.to_owned())));
        }
        for user in [
            "",
            "alice",
            "system:serviceaccount:mesh",
            "system:serviceaccount::node",
            "system:serviceaccount:mesh:",
            "system:serviceaccount:mesh:node:more",
            "system:serviceaccount:mesh/pods:node",
            "system:serviceaccount:..:node",
            "system:serviceaccount:mesh:no de",
            "system:node:mesh:node",
        ] {
            assert_eq!(Account::of_user(user), None, "{user}");
        }
    }
}
