//! What to enforce in the place of a policy that cannot be understood.

use std::sync::Arc;

use culvert_core::policy::{Policy, Scope};
use prost::Message;

use crate::policy;

/// The part of a policy that says whom it concerns. Read alone, it does not mind what is wrong with the rest.
#[derive(Clone, PartialEq, Message)]
struct Head {
    #[prost(string, tag = "2")]
    namespace: String,
    #[prost(int32, tag = "3")]
    scope: i32,
    #[prost(bool, tag = "6")]
    dry_run: bool,
}

/// Gives the policy that denies what the policy resource `name` was to govern, and says `reason`.
///
/// Scope and namespace are what the payload says, as far as that can be understood. Else the policy concerns the
/// namespace in its name, or everybody when there is none: better too many than too few. One that reads as a dry run
/// stays a dry run.
#[must_use]
pub fn unusable_policy(name: &str, payload: &[u8], reason: impl Into<Arc<str>>) -> Policy {
    // No payload at all would read as the defaults of all fields, and concern everybody.
    let head = Some(payload).filter(|payload| !payload.is_empty()).and_then(|it| Head::decode(it).ok());
    let named = name.rsplit_once('/').map_or("", |(namespace, _)| namespace);
    let said =
        head.as_ref().and_then(|head| Some((policy::scope(head.scope).ok()?, head.namespace.as_str())));
    let (scope, namespace) = match said {
        Some((Scope::Namespace, "")) | None if named.is_empty() => (Scope::Global, ""),
        Some((Scope::Namespace, "")) | None => (Scope::Namespace, named),
        Some(said) => said,
    };
    let dry_run = head.as_ref().is_some_and(|head| head.dry_run);
    Policy { dry_run, ..Policy::unusable(name.into(), namespace.into(), scope, reason.into()) }
}
