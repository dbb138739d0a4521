//! What a client may mean by a name: the name as it is, what Kubernetes makes of short names, and what is left without the
//! search domain a resolver has put behind it.
//!
//! Goes in: a name as it was asked for. Comes out: full names to look for, most literal first, and the wildcards that stand
//! for a name. Deliberately absent: who has such a name. Most names are somebody else's and have to be let go quickly, so
//! nothing here allocates.

/// The longest name there can be.
pub(super) const LONGEST: usize = 253;

/// Where a client is among names: what it may leave out follows from that.
#[derive(Debug, Clone, Copy)]
pub(super) struct Home<'a> {
    /// Its namespace.
    pub(super) namespace: &'a str,
    /// The domain of its cluster.
    pub(super) domain: &'a str,
}

/// A search domain of the client.
#[derive(Debug, Clone, Copy)]
enum Zone {
    /// `<namespace>.svc.<domain>`.
    Namespace,
    /// `svc.<domain>`.
    Services,
    /// `<domain>`.
    Domain,
}

/// A full name the client may mean.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate<'q> {
    stem: &'q str,
    zone: Option<Zone>,
    /// Whether the name lacks the search domain it was asked for with.
    pub(super) stripped: bool,
}

impl<'h> Home<'h> {
    /// Gives what may be meant by `name`, most literal first.
    pub(super) fn candidates<'q>(self, name: &'q str) -> impl Iterator<Item = Candidate<'q>> + use<'h, 'q> {
        let stripped = Zone::ALL.into_iter().filter_map(move |zone| self.strip(name, zone));
        completions(name, false).chain(stripped.flat_map(|rest| completions(rest, true)))
    }

    /// Writes the full name.
    pub(super) fn write(self, candidate: Candidate<'_>, into: &mut String) {
        into.clear();
        into.push_str(candidate.stem);
        let behind: &[&str] = match candidate.zone {
            None => &[],
            Some(Zone::Domain) => &[self.domain],
            Some(Zone::Services) => &["svc", self.domain],
            Some(Zone::Namespace) => &[self.namespace, "svc", self.domain],
        };
        for part in behind {
            into.push('.');
            into.push_str(part);
        }
    }

    /// Gives the ends of `name` whose wildcard (`*.<end>`) may stand for it, nearest first.
    ///
    /// A name with a search domain behind it may be any name of the world, and a wildcard for what the search domain is part
    /// of would take them all. So it has no say there: by RFC 4592 a wildcard stands for nothing below a name that exists,
    /// and the search domains do. A wildcard for a search domain itself takes one label and not several.
    pub(super) fn wildcard_ends<'n>(self, name: &'n str) -> impl Iterator<Item = &'n str> + use<'n> {
        let before = Zone::ALL.into_iter().find_map(|zone| self.strip(name, zone));
        let bound = before.map_or(name.len(), |it| it.len() + usize::from(!it.contains('.')));
        let dots = name.match_indices('.').map(|(at, _)| at);
        dots.take_while(move |at| *at < bound).map(|at| &name[at + 1..])
    }

    /// Tells whether `name` is one of those the cluster gives to services and pods.
    pub(super) fn is_of_a_service(self, name: &str) -> bool {
        self.strip(name, Zone::Services).is_some()
    }

    /// Tells whether `name` is one of the cluster's domain, or that domain.
    pub(super) fn is_in_domain(self, name: &str) -> bool {
        name == self.domain || self.strip(name, Zone::Domain).is_some()
    }

    /// Takes the first search domain of the client off the end of `name`, if there is more.
    pub(super) fn without_namespace(self, name: &str) -> Option<&str> {
        self.strip(name, Zone::Namespace)
    }

    /// Gives the namespace and the full name of the service that has the full name `name`, or whose pod has it.
    pub(super) fn service(self, name: &str) -> Option<(&str, &str)> {
        let mut labels = self.strip(name, Zone::Services)?.split('.');
        match (labels.next()?, labels.next()?, labels.next(), labels.next()) {
            (_, namespace, None, _) => Some((namespace, name)),
            (pod, _, Some(namespace), None) => Some((namespace, name.strip_prefix(pod)?.strip_prefix('.')?)),
            _ => None,
        }
    }

    /// Takes a search domain off the end of `name`, if there is more.
    fn strip(self, name: &str, zone: Zone) -> Option<&str> {
        let in_domain = before(name, self.domain)?;
        match zone {
            Zone::Domain => Some(in_domain),
            Zone::Services => before(in_domain, "svc"),
            Zone::Namespace => before(before(in_domain, "svc")?, self.namespace),
        }
    }
}

impl Zone {
    /// In the order of a pod's search list.
    const ALL: [Self; 3] = [Self::Namespace, Self::Services, Self::Domain];
}

/// Gives what stands before the last labels of `name`, if these are `end` and something does.
fn before<'n>(name: &'n str, end: &str) -> Option<&'n str> {
    name.strip_suffix(end)?.strip_suffix('.').filter(|rest| !rest.is_empty())
}

/// Gives `name` as it is and as the short form of full names.
fn completions(name: &str, stripped: bool) -> impl Iterator<Item = Candidate<'_>> {
    let zones = [None].into_iter().chain(left_out(name).iter().copied().map(Some));
    zones.map(move |zone| Candidate { stem: name, zone, stripped })
}

/// Gives what a short name may have left out at its end.
fn left_out(name: &str) -> &'static [Zone] {
    match (name.split('.').count(), name.ends_with(".svc")) {
        // service
        (1, _) => &[Zone::Namespace],
        // service.namespace, pod.service
        (2, _) => &[Zone::Services, Zone::Namespace],
        // service.namespace.svc, and a namespace may be called svc
        (3, true) => &[Zone::Domain, Zone::Services],
        // pod.service.namespace
        (3, false) => &[Zone::Services],
        // pod.service.namespace.svc
        (4, true) => &[Zone::Domain],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: Home<'static> = Home { namespace: "ns1", domain: "cluster.local" };

    /// Asserts the candidates with nothing stripped (`whole`), and those with a search domain stripped.
    #[track_caller]
    fn check(name: &str, whole: &[&str], stripped: &[&str]) {
        let named = |wanted: bool| -> Vec<String> {
            let candidates = HOME.candidates(name).filter(|it| it.stripped == wanted);
            candidates
                .map(|candidate| {
                    let mut full = "left over".to_owned();
                    HOME.write(candidate, &mut full);
                    full
                })
                .collect()
        };
        assert_eq!((named(false), named(true)), (owned(whole), owned(stripped)), "{name}");
    }

    fn owned(texts: &[&str]) -> Vec<String> {
        texts.iter().copied().map(str::to_owned).collect()
    }

    #[test]
    fn a_name_of_one_label_is_a_service_of_the_own_namespace() {
        check("web", &["web", "web.ns1.svc.cluster.local"], &[]);
    }

    #[test]
    fn a_name_of_two_labels_is_a_service_and_its_namespace_or_a_pod_and_its_service() {
        check("web.ns2", &["web.ns2", "web.ns2.svc.cluster.local", "web.ns2.ns1.svc.cluster.local"], &[]);
    }

    #[test]
    fn a_name_of_three_labels_ends_with_svc_or_with_a_namespace() {
        check(
            "web.ns2.svc",
            &["web.ns2.svc", "web.ns2.svc.cluster.local", "web.ns2.svc.svc.cluster.local"],
            &[],
        );
        check("web.ns2.not-svc", &["web.ns2.not-svc", "web.ns2.not-svc.svc.cluster.local"], &[]);
        check("www.example.com", &["www.example.com", "www.example.com.svc.cluster.local"], &[]);
    }

    #[test]
    fn a_name_of_four_labels_ends_with_svc_or_is_complete() {
        check("pod.sub.ns.svc", &["pod.sub.ns.svc", "pod.sub.ns.svc.cluster.local"], &[]);
        check("pod.sub.ns.not-svc", &["pod.sub.ns.not-svc"], &[]);
        check("web.ns2.svc.cluster", &["web.ns2.svc.cluster"], &[]);
        check("a.b.c.d.svc", &["a.b.c.d.svc"], &[]);
    }

    #[test]
    fn search_domains_are_taken_off_longest_first() {
        let full = "web.ns1.svc.cluster.local";
        let (services, domain) = (["web.ns1", full, "web.ns1.ns1.svc.cluster.local"], "web.ns1.svc");
        let stripped = ["web", full].into_iter().chain(services);
        let stripped = stripped.chain([domain, full, "web.ns1.svc.svc.cluster.local"]);
        check(full, &[full], &stripped.collect::<Vec<_>>());
        check(
            "web.ns2.svc.cluster.local",
            &["web.ns2.svc.cluster.local"],
            &[
                "web.ns2",
                "web.ns2.svc.cluster.local",
                "web.ns2.ns1.svc.cluster.local",
                "web.ns2.svc",
                "web.ns2.svc.cluster.local",
                "web.ns2.svc.svc.cluster.local",
            ],
        );
        check(
            "www.example.com.ns1.svc.cluster.local",
            &["www.example.com.ns1.svc.cluster.local"],
            &[
                "www.example.com",
                "www.example.com.svc.cluster.local",
                "www.example.com.ns1",
                "www.example.com.ns1.svc",
            ],
        );
    }

    #[test]
    fn a_search_domain_is_taken_off_only_whole_and_not_from_itself() {
        let strip = |name, zone| HOME.strip(name, zone);
        assert_eq!(strip("web.ns1.svc.cluster.local", Zone::Namespace), Some("web"));
        assert_eq!(strip("web.ns2.svc.cluster.local", Zone::Namespace), None);
        assert_eq!(strip("web.xns1.svc.cluster.local", Zone::Namespace), None);
        assert_eq!(strip("ns1.svc.cluster.local", Zone::Namespace), None);
        assert_eq!(strip("ns1.svc.cluster.local", Zone::Services), Some("ns1"));
        assert_eq!(strip("svc.cluster.local", Zone::Services), None);
        assert_eq!(strip("svc.cluster.local", Zone::Domain), Some("svc"));
        assert_eq!(strip("cluster.local", Zone::Domain), None);
        assert_eq!(strip("xcluster.local", Zone::Domain), None);
        assert_eq!(strip(".cluster.local", Zone::Domain), None);
        assert_eq!(strip("local", Zone::Domain), None);
        assert_eq!(strip("web.cluster.remote", Zone::Domain), None);
        assert_eq!(strip("", Zone::Domain), None);
    }

    /// Asserts which wildcards stand for `name`.
    #[track_caller]
    fn check_wildcards(name: &str, expected: &[&str]) {
        assert_eq!(HOME.wildcard_ends(name).collect::<Vec<_>>(), expected, "{name}");
    }

    #[test]
    fn a_wildcard_stands_for_any_number_of_labels_but_not_for_none() {
        check_wildcards("web", &[]);
        check_wildcards("", &[]);
        check_wildcards("x.com", &["com"]);
        check_wildcards("a.b.c.d.e", &["b.c.d.e", "c.d.e", "d.e", "e"]);
    }

    #[test]
    fn a_wildcard_does_not_reach_below_a_search_domain_from_above() {
        check_wildcards("x.cluster.local", &["cluster.local"]);
        check_wildcards("x.y.cluster.local", &["y.cluster.local"]);
        check_wildcards("x.svc.cluster.local", &["svc.cluster.local"]);
        check_wildcards("x.ns2.svc.cluster.local", &["ns2.svc.cluster.local"]);
        check_wildcards("x.ns1.svc.cluster.local", &["ns1.svc.cluster.local"]);
        let ends = ["example.com.ns1.svc.cluster.local", "com.ns1.svc.cluster.local"];
        check_wildcards("www.example.com.ns1.svc.cluster.local", &ends);
    }
}
