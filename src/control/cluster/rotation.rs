//! Replaces the root of a cluster, by steps somebody takes, or by all of them one after the other.
//!
//! All texts of a root are one Secret, so each step is one write that nobody else has overtaken. A rotation that was begun as a whole
//! ([`Plan`]) is noted in the Secret, and gone on with by the replica that leads, whichever that is by then.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use culvert_kubernetes::Client;
use culvert_process::exit::Chain;
use k8s_openapi::api::core::v1::Secret;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::sleep;

use super::api::{Api, Written};
use super::secret::{self, OWN, PLUGGED};
use crate::root::Stage;
use crate::root::rotation::{self, Step};
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
    #[error("others write the Secret {OWN} again and again; try once more")]
    Outdone,
}

/// A rotation that goes on by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Plan {
    /// How long the old root stays trusted once the new one signs, in seconds: until every certificate it has signed is renewed.
    finish_after: u64,
    /// When the new one began to sign, in seconds since 1970.
    activated: Option<u64>,
}

/// Takes a step; gives what to tell the operator.
pub(crate) async fn run(client: &Client, namespace: &str, step: Step) -> Result<String, Refused> {
    let secrets = secret::secrets(client, namespace);
    change(&secrets, namespace, |texts, _, now| {
        Ok(rotation::after(texts, step, now).map_err(|obstacle| refused(obstacle, step))?.pop())
    })
    .await
}

/// Begins a rotation that goes on by itself; gives what to tell the operator.
pub(crate) async fn begin(client: &Client, namespace: &str, trusted: Duration) -> Result<String, Refused> {
    let secrets = secret::secrets(client, namespace);
    let told = change(&secrets, namespace, |texts, plan, now| {
        let stage = texts.stage(now).map_err(secret::at)?;
        if plan.is_some() || stage != Stage::Steady {
            let under_way = format!(
                "a rotation is under way already (the root is {stage}); it goes on by itself, or by `activate` and `finish`"
            );
            return Err(Refused::Order(under_way));
        }
        *plan = Some(Plan { finish_after: trusted.as_secs(), activated: None });
        Ok(Some(texts.clone()))
    });
    let told = told.await?;
    Ok(format!("{told}\nthe rotation goes on by itself; `status` says how far it is"))
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
fn advance(texts: &Texts, plan: &mut Option<Plan>, now: SystemTime) -> Result<Option<Texts>, Refused> {
    let Some(under_way) = plan else { return Ok(None) };
    let seconds = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
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
            *plan = None;
            Step::Finish
        }
        (Stage::Steady, Some(_)) => {
            *plan = None;
            return Ok(Some(texts.clone()));
        }
    };
    tracing::info!(?step, "the rotation of the root goes on");
    Ok(rotation::after(texts, step, now).map_err(|obstacle| refused(obstacle, step))?.pop())
}

/// Changes the texts and the plan, unless there is nothing to change; tells how far the root is then.
async fn change(
    secrets: &Api,
    namespace: &str,
    next: impl Fn(&Texts, &mut Option<Plan>, SystemTime) -> Result<Option<Texts>, Refused>,
) -> Result<String, Refused> {
    if secrets.get::<Secret>(PLUGGED).await?.is_some() {
        return Err(Refused::Plugged { namespace: namespace.to_owned() });
    }
    for _ in 0..TRIES {
        let absent = || Refused::Absent { namespace: namespace.to_owned() };
        let mut secret = secrets.get::<Secret>(OWN).await?.ok_or_else(absent)?;
        let data = secret.data.get_or_insert_default();
        let notes = secret.metadata.annotations.get_or_insert_default();
        let (texts, now) = (secret::texts(data), SystemTime::now());
        let mut plan = planned(notes);
        let Some(texts) = next(&texts, &mut plan, now)? else { return told(&texts, now) };
        secret::write(&texts, data);
        note(plan.as_ref(), notes);
        if secrets.replace(OWN, &secret).await? == Written::Done {
            return told(&texts, now);
        }
    }
    Err(Refused::Outdone)
}

fn told(texts: &Texts, now: SystemTime) -> Result<String, Refused> {
    Ok(rotation::told(texts, now).map_err(secret::at)?)
}

fn planned(notes: &BTreeMap<String, String>) -> Option<Plan> {
    serde_json::from_str(notes.get(PLAN)?).ok()
}

fn note(plan: Option<&Plan>, notes: &mut BTreeMap<String, String>) {
    match plan {
        Some(plan) => {
            let text = serde_json::to_string(plan).expect("the keys are text");
            notes.insert(PLAN.to_owned(), text);
        }
        None => {
            notes.remove(PLAN);
        }
    }
}

fn refused(obstacle: rotation::Obstacle, step: Step) -> Refused {
    match obstacle {
        rotation::Obstacle::Texts(problem) => Refused::Root(secret::at(problem)),
        rotation::Obstacle::Order(stage) => Refused::Order(rotation::out_of_order(stage, step)),
    }
}

#[cfg(test)]
mod tests;
