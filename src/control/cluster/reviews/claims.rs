//! What a token says of itself. Nothing of it is to be believed before somebody who can has found that the token is genuine.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

/// The longest token anybody makes.
const LONGEST: usize = 16 * 1024;

/// Tells whether a text has the form of the tokens of service accounts (RFC 7519): three parts in Base64.
pub(super) fn is_jwt(token: &str) -> bool {
    let base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    let parts = token.split('.');
    token.len() <= LONGEST
        && parts.clone().count() == 3
        && parts.into_iter().all(|part| !part.is_empty() && part.bytes().all(base64))
}

/// When the token ends, if it says so.
pub(super) fn expiry(token: &str) -> Option<SystemTime> {
    #[derive(Deserialize)]
    struct Claims {
        exp: f64,
    }
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let Claims { exp } = serde_json::from_slice(&payload).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(exp).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jwt(payload: &str) -> String {
        [r#"{"alg":"RS256"}"#, payload, "signature"].map(|part| URL_SAFE_NO_PAD.encode(part)).join(".")
    }

    #[test]
    fn the_end_of_a_token_is_in_it() {
        let after = |seconds| Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(expiry(&jwt(r#"{"exp": 1700000000, "aud": ["a"]}"#)), after(1_700_000_000));
        assert_eq!(expiry(&jwt(r#"{"exp": 1.7e9}"#)), after(1_700_000_000));
        for none in ["{}", "[]", "", r#"{"exp": "soon"}"#, r#"{"exp": -1}"#, r#"{"exp": 1e300}"#] {
            assert_eq!(expiry(&jwt(none)), None, "{none}");
        }
        assert_eq!((expiry("a.b.c"), expiry(""), expiry("a.é.c")), (None, None, None));
    }

    #[test]
    fn what_has_another_form_is_no_token_of_an_account() {
        assert!(is_jwt(&jwt("{}")));
        for other in [
            "",
            "token",
            "a.b",
            "a.b.c.d",
            "a..c",
            "a.b.c=",
            "a.b c.d",
            &format!("a.b.{}", "c".repeat(LONGEST)),
        ] {
            assert!(!is_jwt(other), "{other}");
        }
    }
}
