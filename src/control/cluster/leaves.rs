//! Notes in the Secret of the root until when certificates live that each root has signed, whichever replica has signed them.
//!
//! In go what this replica signs, and what the Secret says; out come annotations, in which of two ends the later one counts. Of a root
//! nothing is noted of, as it was made by somebody else or by an older version, the longest life there is counts from now on.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use culvert_kubernetes::{Client, Pace};
use k8s_openapi::api::core::v1::Secret;
use serde_json::json;

use super::api::{Api, Written};
use super::secret::{self, OWN};
use crate::live::Live;
use crate::root::Root;
use crate::root::leaves::{Leaves, Signed};

/// What notes it.
const NOTE: &str = "culvert.dev/leaves-until";

/// How often it is tried when others write at the same time.
const TRIES: usize = 5;

/// Why it is not noted.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Api(#[from] culvert_kubernetes::Error),
    #[error(transparent)]
    Root(#[from] crate::root::Error),
    #[error("others write the Secret {OWN} again and again")]
    Outdone,
}

/// What annotations say.
pub(super) fn read(annotations: &BTreeMap<String, String>) -> Leaves {
    annotations.get(NOTE).map(|text| Leaves::read(text)).unwrap_or_default()
}

/// Has annotations say it.
pub(super) fn write(leaves: &Leaves, annotations: &mut BTreeMap<String, String>) {
    annotations.insert(NOTE.to_owned(), leaves.text());
}

/// Notes what is signed for as long as it is run.
pub(super) async fn keep(
    client: Client,
    namespace: String,
    (root, signed): (Live<Root>, Signed),
    longest: Duration,
    pace: Pace,
) {
    let secrets = secret::secrets(&client, &namespace);
    signed.kept(root, pace, |new| note(&secrets, new, longest)).await;
}

async fn note(secrets: &Api, new: Leaves, longest: Duration) -> Result<(), Error> {
    for _ in 0..TRIES {
        // Of an authority that is plugged in, whoever has plugged it in knows.
        let Some(secret) = secrets.get::<Secret>(OWN).await? else { return Ok(()) };
        let texts = secret::texts(&secret.data.unwrap_or_default());
        let trusted = texts.trusted().map_err(secret::at)?;
        let before = read(&secret.metadata.annotations.unwrap_or_default());
        let mut after = before.clone();
        after.merge(&new);
        after.bound(&trusted, SystemTime::now() + longest);
        if after == before {
            return Ok(());
        }
        let metadata = json!({ "resourceVersion": secret.metadata.resource_version, "annotations": { NOTE: after.text() } });
        if secrets.merge(OWN, &json!({ "metadata": metadata })).await? == Written::Done {
            return Ok(());
        }
    }
    Err(Error::Outdone)
}

#[cfg(test)]
mod tests;
