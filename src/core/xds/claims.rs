//! Telling a server what we have, in messages it will read.

use std::sync::Arc;

use super::{Kind, Request, Version};

/// What the names of one request may come to. Servers commonly read messages of up to 4 MiB; the rest is for who we are.
pub(super) const LARGEST: usize = 3_500_000;

/// What protobuf adds to an entry at most: two tags and a length for the entry, one of each for key and value.
const PER_ENTRY: usize = 16;

/// Gives the opening request of a type with all claims it may hold, and the rest in further requests.
pub(super) fn split(kind: Kind, claims: impl Iterator<Item = (Arc<str>, Version)>) -> Vec<Request> {
    let first = Request { type_url: kind.url().into(), with_node: true, ..Request::default() };
    let (mut requests, mut size) = (vec![first], 0);
    for (name, version) in claims {
        let entry = self::size(&name, version.len());
        if entry > LARGEST {
            // No message has room for it. Unclaimed it is sent again, which is better than a request nobody reads.
            continue;
        }
        size += entry;
        if size > LARGEST {
            requests.push(Request { type_url: kind.url().into(), ..Request::default() });
            size = entry;
        }
        if let Some(request) = requests.last_mut() {
            request.initial_versions.push((name, version));
        }
    }
    requests
}

/// What a name and what is said of it come to in a message, at most.
pub(super) fn size(name: &str, said: usize) -> usize {
    name.len() + said + PER_ENTRY
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_complete_and_no_request_is_too_large() {
        let claim = |n: usize| (Arc::from(format!("{n:0100}")), Version::from("0123456789abcdef"));
        let requests = split(Kind::Address, (0..100_000).map(claim));
        assert_eq!(requests.iter().map(|it| it.initial_versions.len()).sum::<usize>(), 100_000);
        assert_eq!(requests.len(), 4);
        for (at, request) in requests.iter().enumerate() {
            let total: usize =
                request.initial_versions.iter().map(|(name, version)| size(name, version.len())).sum();
            assert!(total <= LARGEST);
            assert_eq!(request.with_node, at == 0);
        }
    }

    #[test]
    fn a_name_that_fits_no_message_is_left_out() {
        let claim = |length| (Arc::from("n".repeat(length)), Version::from(""));
        let requests = split(Kind::Address, [5, LARGEST, 6].into_iter().map(claim));
        let lengths = requests.iter().flat_map(|it| &it.initial_versions).map(|(name, _)| name.len());
        assert_eq!((requests.len(), lengths.collect::<Vec<_>>()), (1, vec![5, 6]));
    }
}
