//! Replaces the root of a cluster, by steps somebody takes, or by all of them one after the other.
//!
//! All texts of a root are one Secret, so each step is one write that nobody else has overtaken. A rotation that was begun as a whole
//! ([`Plan`]) is noted in the Secret, and gone on with by the replica that leads, whichever that is by then. So is until when certificates
//! live that each root has signed ([`leaves`]): trust in an old one is not taken away before, unless the operator insists.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use culvert_kubernetes::Client;
use culvert_process::exit::Chain;
use k8s_openapi::api::core::v1::Secret;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::sleep;

use super::api::{Api, Written};
use super::leaves;
use super::secret::{self, OWN, PLUGGED};
use crate::root::Stage;
use crate::root::leaves::{Leaves, Needed, written};
use crate::root::rotation::{self, Haste, Step};
use crate::root::texts::Texts;

/// What notes a rotation that goes on by itself.
const PLAN: &str = "culvert.dev/root-rotation";

/// How often a rotation that goes on by itself is looked at.
const LOOK: Duration = Duration::from_secs(30);

/// How often a step is tried when others write at the same time.
const TRIES: usize = 5;

/// Why a step was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    #[error(transparent)]
    Api(#[from] culvert_kubernetes::Error),
    #[error(
        "the authority is plugged in (Secret {PLUGGED} in namespace {namespace}); whoever writes that Secret replaces it: first both roots in \
         root-cert.pem, then the new certificate and key, and at the end the new root alone"
    )]
    Plugged { namespace: String },
    #[error(
        "there is no Secret {OWN} in namespace {namespace}; the control plane makes it at its first start"
    )]
    Absent { namespace: String },
    #[error(transparent)]
    Root(#[from] crate::root::Error),
    #[error("{0}")]
    Order(String),
    #[error("{}", rotation::too_early(*.0))]
    Early(Needed),
    #[error("others write the Secret {OWN} again and again; try once more")]
    Outdone,
}

/// A rotation that goes on by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Plan {
    /// How long at least the old root stays trusted once the new one signs, in seconds.
    finish_after: u64,
    /// When the new one began to sign, in seconds since 1970.
    activated: Option<u64>,
    /// Whether certificates of the old root are not waited for.
    #[serde(default)]
    insists: bool,
}

/// What is noted beside the texts.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Notes {
    plan: Option<Plan>,
    leaves: Leaves,
}

/// Takes a step; gives what to tell the operator.
pub(crate) async fn run(
    client: &Client,
    namespace: &str,
    step: Step,
    haste: Haste,
) -> Result<String, Refused> {
    let secrets = secret::secrets(client, namespace);
    change(&secrets, namespace, |texts, notes, now| {
        let next = rotation::after(texts, step, (&notes.leaves, haste), now);
        Ok(next.map_err(|obstacle| refused(obstacle, step))?.pop())
    })
    .await
}

/// Begins a rotation that goes on by itself; gives what to tell the operator.
pub(crate) async fn begin(
    client: &Client,
    namespace: &str,
    trusted: Duration,
    haste: Haste,
) -> Result<String, Refused> {
    let secrets = secret::secrets(client, namespace);
    change(&secrets, namespace, |texts, notes, now| {
        let stage = texts.stage(now).map_err(secret::at)?;
        if notes.plan.is_some() || stage != Stage::Steady {
            let under_way = format!(
                "a rotation is under way already (the root is {stage}); it goes on by itself, or by `activate` and `finish`"
            );
            return Err(Refused::Order(under_way));
        }
        let insists = haste == Haste::Insist;
        notes.plan = Some(Plan { finish_after: trusted.as_secs(), activated: None, insists });
        Ok(Some(texts.clone()))
    })
    .await
}

/// Goes on with a rotation for as long as it is run, whenever we lead.
pub(super) async fn go_on(client: Client, namespace: String, mut leads: watch::Receiver<bool>) {
    let secrets = secret::secrets(&client, &namespace);
    loop {
        if leads.wait_for(|leads| *leads).await.is_err() {
            return;
        }
        match change(&secrets, &namespace, advance).await {
            // Whoever has plugged in an authority replaces it; and a root there is none of is made elsewhere.
            Ok(_) | Err(Refused::Plugged { .. } | Refused::Absent { .. }) => {}
            Err(error) => tracing::warn!(error = %Chain(&error), "the rotation of the root does not go on"),
        }
        sleep(LOOK).await;
    }
}

/// The next step of a rotation that goes on by itself, if it is time for it.
fn advance(texts: &Texts, notes: &mut Notes, now: SystemTime) -> Result<Option<Texts>, Refused> {
    let Notes { plan, leaves } = notes;
    let Some(under_way) = plan else { return Ok(None) };
    let seconds = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let haste = if under_way.insists { Haste::Insist } else { Haste::Wait };
    let step = match (texts.stage(now).map_err(secret::at)?, under_way.activated) {
        (Stage::Steady, None) => Step::Prepare,
        (Stage::Prepared, _) => {
            under_way.activated = Some(seconds);
            Step::Activate
        }
        // Somebody else has taken that step.
        (Stage::Active, None) => {
            under_way.activated = Some(seconds);
            return Ok(Some(texts.clone()));
        }
        (Stage::Active, Some(activated)) if activated.saturating_add(under_way.finish_after) > seconds => {
            return Ok(None);
        }
        (Stage::Active, Some(_)) => {
            if haste == Haste::Wait && texts.need(leaves, now).map_err(secret::at)?.is_some() {
                return Ok(None);
            }
            *plan = None;
            Step::Finish
        }
        (Stage::Steady, Some(_)) => {
            *plan = None;
            return Ok(Some(texts.clone()));
        }
    };
    tracing::info!(?step, "the rotation of the root goes on");
    let next = rotation::after(texts, step, (leaves, haste), now);
    Ok(next.map_err(|obstacle| refused(obstacle, step))?.pop())
}

/// Changes the texts and what is noted, unless there is nothing to change; tells how far the root is then.
async fn change(
    secrets: &Api,
    namespace: &str,
    next: impl Fn(&Texts, &mut Notes, SystemTime) -> Result<Option<Texts>, Refused>,
) -> Result<String, Refused> {
    if secrets.get::<Secret>(PLUGGED).await?.is_some() {
        return Err(Refused::Plugged { namespace: namespace.to_owned() });
    }
    for _ in 0..TRIES {
        let absent = || Refused::Absent { namespace: namespace.to_owned() };
        let mut secret = secrets.get::<Secret>(OWN).await?.ok_or_else(absent)?;
        let data = secret.data.get_or_insert_default();
        let annotations = secret.metadata.annotations.get_or_insert_default();
        let (texts, now) = (secret::texts(data), SystemTime::now());
        let mut notes = Notes { plan: planned(annotations), leaves: leaves::read(annotations) };
        let Some(new) = next(&texts, &mut notes, now)? else { return told(&texts, &notes, now) };
        let trusted = |texts: &Texts| texts.trusted().map_err(secret::at);
        notes.leaves.follow(&trusted(&texts)?, &trusted(&new)?, now);
        secret::write(&new, data);
        note(&notes, annotations);
        if secrets.replace(OWN, &secret).await? == Written::Done {
            return told(&new, &notes, now);
        }
    }
    Err(Refused::Outdone)
}

/// What to tell the operator.
fn told(texts: &Texts, notes: &Notes, now: SystemTime) -> Result<String, Refused> {
    let told = rotation::told(texts, &notes.leaves, now).map_err(secret::at)?;
    let Some(plan) = &notes.plan else { return Ok(told) };
    let earliest = plan.activated.map(|at| at.saturating_add(plan.finish_after));
    let earliest = earliest.map(|at| SystemTime::UNIX_EPOCH + Duration::from_secs(at));
    let when = match (earliest, plan.insists) {
        (None, _) => "the rotation goes on by itself; `status` says how far it is".to_owned(),
        (Some(at), true) => {
            format!("it is finished by itself after {}, whatever the old root has signed", written(at))
        }
        (Some(at), false) => {
            format!(
                "it is finished by itself when the old root is needed no more, and not before {}",
                written(at)
            )
        }
    };
    Ok(format!("{told}\n{when}"))
}

fn planned(annotations: &BTreeMap<String, String>) -> Option<Plan> {
    serde_json::from_str(annotations.get(PLAN)?).ok()
}

fn note(Notes { plan, leaves }: &Notes, annotations: &mut BTreeMap<String, String>) {
    leaves::write(leaves, annotations);
    match plan {
        Some(plan) => {
            let text = serde_json::to_string(plan).expect("the keys are text");
            annotations.insert(PLAN.to_owned(), text);
        }
        None => {
            annotations.remove(PLAN);
        }
    }
}

fn refused(obstacle: rotation::Obstacle, step: Step) -> Refused {
    match obstacle {
        rotation::Obstacle::Texts(problem) => Refused::Root(secret::at(problem)),
        rotation::Obstacle::Order(stage) => Refused::Order(rotation::out_of_order(stage, step)),
        rotation::Obstacle::Early(needed) => Refused::Early(needed),
    }
}

#[cfg(test)]
mod tests;
