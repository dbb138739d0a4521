//! What there may be to say about a name besides what the snapshot has: for nodes that are told only what they ask for.
//!
//! Goes in: the snapshot and a name as it was asked for. Comes out: the names of the resources of a control plane that would be
//! looked for if the snapshot were complete, and are not in it. Deliberately absent: asking, and remembering what was asked.

use std::sync::Arc;

use crate::snapshot::Snapshot;

use super::lookup::{Asker, Bearer, find};
use super::names::LONGEST;

/// How many resources one question may lead to. The most literal come first; wildcards that are far away are left out.
pub const MOST_LACKING: usize = 8;

/// The longest label there can be.
const LONGEST_LABEL: usize = 63;

/// Gives the names of those that could change what is said about `name`.
pub(super) fn lacking(snapshot: &Snapshot, asker: Asker<'_>, name: &str) -> Vec<Arc<str>> {
    if !may_be_asked_for(name) {
        return Vec::new();
    }
    let mut lacking = Lacking { snapshot, namespace: &asker.client.namespace, names: Vec::new() };
    let found = find(snapshot, asker, name).filter(|found| found.bearer != Bearer::Wildcard);
    let Some(found) = found else {
        lacking.all(asker, name);
        return lacking.names;
    };
    // Somebody else's, where the client's own namespace may have one of the same name, which would be preferred.
    let own = found.backed.service().namespace == asker.client.namespace;
    if !own && !asker.home().is_in_domain(&found.name) {
        lacking.host(&found.name);
    }
    lacking.names
}

struct Lacking<'a> {
    snapshot: &'a Snapshot,
    namespace: &'a str,
    names: Vec<Arc<str>>,
}

impl Lacking<'_> {
    fn all(&mut self, asker: Asker<'_>, name: &str) {
        let (home, mut full) = (asker.home(), String::with_capacity(LONGEST));
        // The other search domains come after this one in every search list Kubernetes writes.
        let meant = [Some(name), home.without_namespace(name)].into_iter().flatten();
        for candidate in meant.clone().flat_map(|name| home.candidates(name)).filter(|it| !it.stripped) {
            home.write(candidate, &mut full);
            if let Some((namespace, host)) = home.service(&full) {
                self.add(namespace, host);
            }
        }
        let hosts = meant.filter(|host| !home.is_in_domain(host) && may_be_asked_for(host));
        for host in hosts.clone() {
            self.host(host);
        }
        for end in hosts.flat_map(|host| home.wildcard_ends(host)).filter(|end| end.contains('.')) {
            self.host(&format!("*.{end}"));
        }
    }

    /// A name that tells nothing of a namespace is looked for from that of the client, unless another cluster has made it.
    fn host(&mut self, host: &str) {
        let mut labels = host.split('.');
        let elsewhere = (labels.next(), labels.next(), labels.next(), labels.next());
        match elsewhere {
            (Some(_), Some(namespace), Some("svc"), Some(_)) => self.add(namespace, host),
            _ => self.add(self.namespace, host),
        }
    }

    fn add(&mut self, namespace: &str, host: &str) {
        let name = format!("{namespace}/{host}");
        let is_known = self.snapshot.service(&name).is_some();
        if self.names.len() < MOST_LACKING && !is_known && !self.names.iter().any(|it| **it == *name) {
            self.names.push(name.into());
        }
    }
}

/// Tells whether a name is written like one of a host, and does not stand for something else by agreement.
fn may_be_asked_for(name: &str) -> bool {
    let is_of_host = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let is_label = |label: &str| (1..=LONGEST_LABEL).contains(&label.len()) && label.bytes().all(is_of_host);
    let last = name.rsplit('.').next().unwrap_or_default();
    let is_number = last.bytes().all(|byte| byte.is_ascii_digit());
    name.len() <= LONGEST
        && name.split('.').all(is_label)
        && !is_number
        && !["arpa", "localhost"].contains(&last)
}
