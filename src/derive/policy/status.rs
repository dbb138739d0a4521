//! What the status of policies says.
//!
//! Two conditions, since two questions are asked. `ZtunnelAccepted` is what people's tools look at to see whether a node can judge by a
//! policy; it keeps its name and its reasons `Accepted` and `UnsupportedValue`, and says `Invalid` of what makes no sense to anybody.
//! `culvert.dev/Enforced` is ours: whether it is in force for everything that it governs. That changes with the workloads, and so has
//! no place in a condition about what is written.

use crate::Condition;

use super::problem::Problems;

/// Whether nodes can judge by it.
pub const ACCEPTED: &str = "ZtunnelAccepted";
/// Whether it is in force for all it governs.
pub const ENFORCED: &str = "culvert.dev/Enforced";

/// How many workloads an object governs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Governed {
    /// Those in the mesh: a node stands in front of them.
    pub in_mesh: usize,
    /// Those that are not: nothing stands in front of them.
    pub outside: usize,
}

impl Governed {
    /// Tells whether the status says the same of both.
    pub(crate) fn is_told_like(self, other: Self) -> bool {
        let told =
            |it: Self| (it.in_mesh > EXACTLY, rounded(it.in_mesh), it.outside > EXACTLY, rounded(it.outside));
        told(self) == told(other)
    }
}

/// What becomes of what is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    AsWritten,
    /// It cannot be understood; with what that means to the workloads it governs.
    Closed(&'static str),
    DryRun,
    /// It has no effect, whatever it governs.
    Idle,
    OfWaypoint,
}

/// Up to here workloads are counted one by one.
const EXACTLY: usize = 10;

/// It can be enforced; with what should be known about it.
pub(super) fn accepted(remarks: Vec<String>) -> Condition {
    let mut message = "nodes judge by it".to_owned();
    for remark in remarks {
        message = format!("{message}; {remark}");
    }
    Condition { kind: ACCEPTED, holds: true, reason: "Accepted", message }
}

/// It cannot be enforced, and this is the outcome.
pub(super) fn refused(problems: &Problems, outcome: &str) -> Condition {
    let message = format!("not understood, so {outcome}: {problems}");
    Condition { kind: ACCEPTED, holds: false, reason: problems.word(), message }
}

/// It makes sense and has no effect here.
pub(super) fn unsupported(message: &str) -> Condition {
    Condition { kind: ACCEPTED, holds: false, reason: "UnsupportedValue", message: message.to_owned() }
}

/// Whether it is in force for all it governs. Numbers of workloads are rounded, so that not every pod that comes or goes means that a
/// status is written.
pub(super) fn enforced(standing: Standing, governed: Governed) -> Condition {
    let Governed { in_mesh, outside } = governed;
    let (reason, text) = match standing {
        Standing::OfWaypoint => {
            ("WaypointOnly", "nodes do not judge by it: what it is attached to has to".to_owned())
        }
        Standing::Idle => ("NoEffect", "its action lets nobody in and keeps nobody out".to_owned()),
        Standing::DryRun => ("DryRun", format!("evaluated for {}, not enforced", workloads(in_mesh))),
        Standing::Closed(outcome) => {
            ("Refused", format!("not understood, so {outcome} {}", workloads(in_mesh)))
        }
        Standing::AsWritten => match (in_mesh, outside) {
            (0, 0) => {
                ("NoWorkloads", "it governs no workload; see to its namespace and its selector".to_owned())
            }
            (_, 0) => ("Enforced", format!("enforced for {}", workloads(in_mesh))),
            (_, _) => ("PartlyOutside", format!("enforced for {}", workloads(in_mesh))),
        },
    };
    let message = match standing {
        Standing::AsWritten | Standing::Closed(_) if outside > 0 => {
            let those = workloads(outside);
            format!(
                "{text}; not for {those} outside the mesh: label them or their namespace istio.io/dataplane-mode=ambient"
            )
        }
        Standing::AsWritten
        | Standing::Closed(_)
        | Standing::DryRun
        | Standing::Idle
        | Standing::OfWaypoint => text,
    };
    Condition { kind: ENFORCED, holds: reason == "Enforced", reason, message }
}

/// It would be in force, had not another of its kind been there before it.
pub(super) fn overruled(by: &str) -> Condition {
    let message = format!(
        "{by} says something about the same workloads and is older, so it decides; remove one of them"
    );
    Condition { kind: ENFORCED, holds: false, reason: "Overruled", message }
}

fn workloads(count: usize) -> String {
    match rounded(count) {
        0 => "no workload".to_owned(),
        1 => "1 workload".to_owned(),
        few @ 2..=EXACTLY if few == count => format!("{few} workloads"),
        many => format!("at least {many} workloads"),
    }
}

fn rounded(count: usize) -> usize {
    if count <= EXACTLY {
        return count;
    }
    let unit = 10usize.pow(count.ilog10());
    count / unit * unit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_pod_more_among_many_is_no_news() {
        let said = |in_mesh| enforced(Standing::AsWritten, Governed { in_mesh, outside: 0 });
        assert_eq!(said(43_210), said(43_211));
        assert_eq!(said(43_210).message, "enforced for at least 40000 workloads");
        assert_ne!(said(3), said(4));
        assert_eq!(said(10).message, "enforced for 10 workloads");
        assert_eq!(said(11).message, "enforced for at least 10 workloads");
    }

    #[test]
    fn it_is_in_force_only_where_there_is_something_and_all_of_it_is_in_the_mesh() {
        let said = |standing, in_mesh, outside| {
            let condition = enforced(standing, Governed { in_mesh, outside });
            (condition.holds, condition.reason)
        };
        assert_eq!(said(Standing::AsWritten, 1, 0), (true, "Enforced"));
        assert_eq!(said(Standing::AsWritten, 1, 1), (false, "PartlyOutside"));
        assert_eq!(said(Standing::AsWritten, 0, 1), (false, "PartlyOutside"));
        assert_eq!(said(Standing::AsWritten, 0, 0), (false, "NoWorkloads"));
        assert_eq!(said(Standing::Closed("x"), 1, 0), (false, "Refused"));
        assert_eq!(said(Standing::DryRun, 1, 0), (false, "DryRun"));
        assert_eq!(said(Standing::Idle, 1, 0), (false, "NoEffect"));
        assert_eq!(said(Standing::OfWaypoint, 1, 0), (false, "WaypointOnly"));
    }
}
