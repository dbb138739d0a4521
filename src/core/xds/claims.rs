//! Telling a server what we have, in messages it will read.

use std::sync::Arc;

use super::{Kind, Request, Version};

/// What claims of one request may come to. Servers commonly read messages of up to 4 MiB; the rest is for who we are.
const LARGEST: usize = 3_500_000;

/// What protobuf adds to an entry at most: two tags and a length for the entry, one of each for key and value.
const PER_ENTRY: usize = 16;

/// Gives the opening request of a type with all claims it may hold, and the rest in further requests.
pub(super) fn split(kind: Kind, claims: impl Iterator<Item = (Arc<str>, Version)>) -> Vec<Request> {
    let first = Request { type_url: kind.url().into(), with_node: true, ..Request::default() };
    let (mut requests, mut size) = (vec![first], 0);
    for (name, version) in claims {
        size += name.len() + version.len() + PER_ENTRY;
        if size > LARGEST {
            requests.push(Request { type_url: kind.url().into(), ..Request::default() });
            size = name.len() + version.len() + PER_ENTRY;
        }
        if let Some(request) = requests.last_mut() {
            request.initial_versions.push((name, version));
        }
    }
    requests
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
            let size: usize =
                request.initial_versions.iter().map(|(n, v)| n.len() + v.len() + PER_ENTRY).sum();
            assert!(size <= LARGEST);
            assert_eq!(request.with_node, at == 0);
        }
    }
}
