//! One question to the API server: whose token is this?
//!
//! Out comes the account and where the token says it is used, all of it in the API server's words, or why it is nobody's.

use std::time::Duration;

use culvert_kubernetes::{Client, Request};
use culvert_token::Stranger;
use culvert_token::review::{Reviewed, Status, judge};
use serde::Deserialize;
use serde_json::json;

const PATH: &str = "/apis/authentication.k8s.io/v1/tokenreviews";

/// Why it is not known whose token it is.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// It is nobody's.
    #[error(transparent)]
    Stranger(#[from] Stranger),
    #[error("the review of a token was not done within {0:?} (review deadline)")]
    TooLate(Duration),
    #[error(
        "the API server cannot be asked about a token; see whether the control plane may create tokenreviews and get pods"
    )]
    Call(#[from] culvert_kubernetes::Error),
}

/// Asks; the token must be for one of the audiences.
pub(super) async fn ask(
    client: &Client,
    token: &str,
    audiences: &[String],
    within: Duration,
) -> Result<Reviewed, Trouble> {
    let body = json!({
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenReview",
        "spec": {"token": token, "audiences": audiences},
    });
    let Answer { status } = culvert_kubernetes::ask(client, Request::create(PATH, &body), within).await?;
    Ok(judge(status, audiences)?)
}

#[derive(Deserialize)]
struct Answer {
    status: Status,
}
