//! A pod is being checked, or has been taken down.
//!
//! In goes what the runtime says, out comes whether the agent agrees. Nothing is waited for.

use culvert_cni::message::{Answer, Request};

use super::add::{NOT_LISTED, describe, lookup, open};
use super::{Failure, Sources};
use crate::cluster::Wish;
use crate::pod::Uid;

/// Says whether a pod is as it should be, in the namespace it should be in.
pub(super) async fn check(sources: &Sources, request: &Request) -> Result<Answer, Failure> {
    let view = sources.views.borrow().clone();
    let view = view.ok_or_else(|| Failure::NotReady(NOT_LISTED.to_owned()))?;
    let Some((uid, pod)) = lookup(&view, request) else {
        let (namespace, name) = (&request.pod_namespace, &request.pod_name);
        return Err(Failure::Retry(format!("the agent has not heard of the pod {namespace}/{name}")));
    };
    if let Wish::Pass(why) = &pod.wish {
        return Ok(Answer { enrolled: false, note: Some(why.says().to_owned()) });
    }
    let netns = open(sources, request).await?.id();
    let status = sources.boards.borrow().get(&uid).cloned();
    match status {
        Some(status) if status.is_protected() && status.netns == Some(netns) => {
            Ok(Answer { enrolled: true, note: None })
        }
        other => Err(Failure::Retry(describe(other.as_deref(), netns))),
    }
}

/// Forgets the namespace of a pod that has been taken down.
pub(super) fn del(sources: &Sources, request: &Request) -> Answer {
    let by_name =
        || sources.views.borrow().as_deref().and_then(|view| lookup(view, request)).map(|(uid, _)| uid);
    // The pod may be gone from the cluster by now; its UID is what its namespace is kept by.
    let uid = request.pod_uid.as_deref().map(Uid::from).or_else(by_name);
    if let Some(uid) = uid {
        sources.handed.withdraw(&uid, &request.container_id);
    }
    Answer { enrolled: false, note: None }
}
