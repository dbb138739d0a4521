//! Which namespace is a pod's: a pure function of what the runtime says, what was known before, and what a search has found.
//!
//! The runtime's word counts as long as the namespace is what the cluster says of the pod: it carries one of its addresses. A
//! process of the pod speaks for the namespace it has been found in. Where both are silent, the node's processes are searched;
//! what is found there has a process and an address of the pod, and wins over a namespace that has neither the runtime's word
//! nor a process. Only when nothing is found either, a namespace is taken on less: an address of the pod's without a process,
//! because not every sandbox has processes that can be seen; or the runtime's word without the address, because the cluster
//! may still say what was before the node restarted.

/// How a namespace stands to the addresses of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Footing {
    /// An interface in it carries one of them.
    Carries,
    /// Its interfaces carry others; those of the pod may be unknown.
    Others,
    /// Its interfaces carry none: it was taken down, or is not set up yet.
    Bare,
    /// It could not be looked at.
    Unseen,
}

/// How a search of the node's processes ended for a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Search {
    /// A process of the pod is in a namespace that carries one of its addresses.
    Found,
    Nothing,
    /// Something could not be looked at.
    Failed,
}

/// What is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Clues {
    /// Whether the cluster knows addresses of the pod.
    pub(super) addressed: bool,
    /// The namespace the runtime has named.
    pub(super) handed: Option<Footing>,
    /// The namespace the pod was in until now, which may be the same one.
    pub(super) current: Option<Footing>,
    /// Whether a process of the pod is in the current namespace.
    pub(super) witnessed: bool,
    /// None as long as there was no search.
    pub(super) search: Option<Search>,
}

/// What follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Choice {
    Handed,
    Current,
    Found,
    /// The one it was in is no longer its own, and there is no other.
    Gone,
    /// It has none yet.
    Awaited,
    /// It cannot be said now.
    Unclear,
    /// Only a search can tell.
    Search,
}

pub(super) fn choose(clues: &Clues) -> Choice {
    match clues.handed {
        Some(Footing::Carries) => return Choice::Handed,
        // There is nothing the runtime's word could be held against.
        Some(_) if !clues.addressed => return Choice::Handed,
        _ if clues.witnessed => return Choice::Current,
        None | Some(_) => {}
    }
    match clues.search {
        None if clues.addressed => Choice::Search,
        Some(Search::Found) => Choice::Found,
        None | Some(Search::Nothing) => on_less(clues, Choice::Gone, Choice::Awaited),
        Some(Search::Failed) => on_less(clues, Choice::Unclear, Choice::Unclear),
    }
}

fn on_less(clues: &Clues, gone: Choice, none: Choice) -> Choice {
    match (clues.handed, clues.current) {
        (Some(Footing::Others), _) => Choice::Handed,
        (Some(Footing::Unseen), _) | (_, Some(Footing::Unseen)) => Choice::Unclear,
        (_, Some(Footing::Carries | Footing::Others)) => Choice::Current,
        (_, Some(Footing::Bare)) => gone,
        (_, None) => none,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn footing(word: &str) -> Option<Footing> {
        match word {
            "-" => None,
            "carries" => Some(Footing::Carries),
            "others" => Some(Footing::Others),
            "bare" => Some(Footing::Bare),
            "unseen" => Some(Footing::Unseen),
            other => panic!("{other}"),
        }
    }

    /// Handed, current (`+` is a process seen in it), search; then what follows.
    fn check(addressed: bool, table: &[(&str, &str, &str, Choice)]) {
        for &(handed, current, search, expected) in table {
            let witnessed = current.ends_with('+');
            let search = match search {
                "-" => None,
                "found" => Some(Search::Found),
                "nothing" => Some(Search::Nothing),
                "failed" => Some(Search::Failed),
                other => panic!("{other}"),
            };
            let current = footing(current.trim_end_matches('+'));
            let clues = Clues { addressed, handed: footing(handed), current, witnessed, search };
            assert_eq!(choose(&clues), expected, "{clues:?}");
        }
    }

    #[test]
    fn nothing_is_searched_while_the_runtime_or_a_process_vouches() {
        check(
            true,
            &[
                ("carries", "-", "-", Choice::Handed),
                ("carries", "carries+", "-", Choice::Handed),
                ("carries", "bare", "-", Choice::Handed),
                ("-", "carries+", "-", Choice::Current),
                ("-", "unseen+", "-", Choice::Current),
                ("bare", "others+", "-", Choice::Current),
                ("others", "carries+", "-", Choice::Current),
                ("-", "-", "-", Choice::Search),
                ("bare", "-", "-", Choice::Search),
                ("others", "carries", "-", Choice::Search),
                ("-", "carries", "-", Choice::Search),
                ("-", "bare", "-", Choice::Search),
                ("unseen", "-", "-", Choice::Search),
            ],
        );
    }

    #[test]
    fn what_is_found_wins_over_what_nobody_vouches_for() {
        for handed in ["-", "bare", "others", "unseen"] {
            for current in ["-", "bare", "others", "unseen", "carries"] {
                check(true, &[(handed, current, "found", Choice::Found)]);
            }
        }
        check(true, &[("carries", "bare", "found", Choice::Handed)]);
    }

    #[test]
    fn a_sandbox_without_visible_processes_stays_until_it_is_taken_down() {
        check(
            true,
            &[
                ("-", "carries", "nothing", Choice::Current),
                ("-", "others", "nothing", Choice::Current),
                ("bare", "carries", "nothing", Choice::Current),
                ("-", "bare", "nothing", Choice::Gone),
                ("bare", "bare", "nothing", Choice::Gone),
                ("-", "-", "nothing", Choice::Awaited),
                ("bare", "-", "nothing", Choice::Awaited),
            ],
        );
    }

    #[test]
    fn the_runtime_is_believed_while_the_cluster_still_says_what_was() {
        for current in ["-", "bare", "others", "carries"] {
            for search in ["nothing", "failed"] {
                check(true, &[("others", current, search, Choice::Handed)]);
            }
        }
    }

    #[test]
    fn nothing_is_given_up_that_could_not_be_looked_at() {
        check(
            true,
            &[
                ("-", "bare", "failed", Choice::Unclear),
                ("bare", "-", "failed", Choice::Unclear),
                ("-", "-", "failed", Choice::Unclear),
                ("-", "unseen", "nothing", Choice::Unclear),
                ("unseen", "bare", "nothing", Choice::Unclear),
                ("unseen", "-", "nothing", Choice::Unclear),
                ("-", "carries", "failed", Choice::Current),
            ],
        );
    }

    #[test]
    fn without_addresses_only_the_runtime_and_what_was_known_count() {
        check(
            false,
            &[
                ("others", "-", "-", Choice::Handed),
                ("bare", "-", "-", Choice::Handed),
                ("unseen", "bare", "-", Choice::Handed),
                ("bare", "others+", "-", Choice::Handed),
                ("-", "others+", "-", Choice::Current),
                ("-", "others", "-", Choice::Current),
                ("-", "bare", "-", Choice::Gone),
                ("-", "unseen", "-", Choice::Unclear),
                ("-", "-", "-", Choice::Awaited),
            ],
        );
    }
}
