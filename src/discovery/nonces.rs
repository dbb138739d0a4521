//! The names of responses: which answers of the client are about one that still matters.

use crate::catalog::Collection;

/// The responses of one type on one stream. They are numbered, so that nothing needs to be kept of each.
#[derive(Debug, Default)]
pub(crate) struct Nonces {
    sent: u64,
    answered: u64,
}

impl Nonces {
    /// Names the next response.
    pub(crate) fn next(&mut self, collection: Collection) -> String {
        self.sent += 1;
        format!("{}{}", letter(collection), self.sent)
    }

    /// Tells whether an answer is about a response that has none yet; answers to older ones are then stale.
    pub(crate) fn answer(&mut self, collection: Collection, nonce: &str) -> bool {
        let number = nonce.strip_prefix(letter(collection)).and_then(|number| number.parse().ok());
        let Some(number) = number.filter(|&number| number > self.answered && number <= self.sent) else {
            return false;
        };
        self.answered = number;
        true
    }
}

fn letter(collection: Collection) -> char {
    match collection {
        Collection::Addresses => 'a',
        Collection::Policies => 'p',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_response_is_answered_once_and_in_order() {
        let mut nonces = Nonces::default();
        let (addresses, policies) = (Collection::Addresses, Collection::Policies);
        assert!(!nonces.answer(addresses, "a1"), "nothing was sent");
        let sent: Vec<_> = (0..3).map(|_| nonces.next(addresses)).collect();
        assert!(nonces.answer(addresses, &sent[0]));
        assert!(!nonces.answer(addresses, &sent[0]), "answered already");
        assert!(nonces.answer(addresses, &sent[2]));
        for stale in [&sent[1], "a4", "a0", "", "x", "3", "p3"] {
            assert!(!nonces.answer(addresses, stale), "{stale}");
        }
        assert!(!nonces.answer(policies, &nonces.sent.to_string()));
    }
}
