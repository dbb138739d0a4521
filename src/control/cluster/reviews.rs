//! Who asks, in a cluster: the API server knows whose a token is, and is asked as rarely as will do.
//!
//! ```text
//!  token ─▶ reviewed lately? ─▶ could it be good? ─▶ asked for already? ─▶ a place in its queue ─▶ TokenReview (─▶ its pod)
//!                 │                     │                   │                      │                        │
//!              caller                unknown       waits for that answer    its source's share      caller, or why not
//! ```
//!
//! A yes is good for a short while, and never beyond the token's own end. While the API server is away it is good for longer, up to a
//! limit; without one there is no caller, whoever asks. A no is forgotten soon, because it may have been too early. An account that is
//! trusted with nodes is the proxy of the node on which its pod is: the API server says where that is, and never the client. Any other
//! account is the proxy of its own workload.
//!
//! **Invariant:** whatever comes in, the requests to the API server at one moment are few, and what is remembered is bounded.
//! **Invariant:** tokens that are nobody's take no turns of those that are somebody's ([`turns`]).

mod review;
mod settings;
mod turns;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use culvert_core::identity::SpiffeId;
use culvert_kubernetes::Client;
use culvert_process::exit::Chain;
use culvert_serving::Source;
use culvert_token::claims;
use culvert_token::review::Reviewed;
use tokio::time::{Instant, sleep, timeout};

use crate::budget::Pace;
use crate::callers::{Caller, Callers, Known, Reach, Stranger};
use crate::metered;
use crate::recent::Recent;
use crate::seldom::Seldom;
use crate::token::{Digest, Token};

use super::answers::Answers;
use super::pods::{Pods, lookup};
use review::Trouble;
use turns::{Turn, Turns};

pub(crate) use settings::{Settings, Timing};
#[cfg(test)]
pub(crate) use turns::Places;

/// How often an API server that cannot be asked is complained about.
const COMPLAINTS: Pace = Pace { in_a_row: 1, one_more: Duration::from_secs(10) };

/// Knows callers by asking the API server.
pub(crate) struct Reviews {
    client: Client,
    settings: Settings,
    pods: Arc<dyn Pods>,
    /// What the API server has said yes to.
    known: Mutex<Recent<Digest, Yes>>,
    /// What is being asked, and what it has said no to.
    answers: Answers<Digest, Result<Yes, Stranger>>,
    turns: Turns,
    complaints: Seldom,
}

/// The API server knows a token.
#[derive(Debug, Clone)]
struct Yes {
    known: Known,
    reviewed: Instant,
    expires: Option<SystemTime>,
}

impl Yes {
    /// Whether it is good, if it lasts that long after it was said.
    fn is_good(&self, lasting: Duration) -> bool {
        self.reviewed.elapsed() < lasting && !self.has_expired()
    }

    fn has_expired(&self) -> bool {
        self.expires.is_some_and(|expires| expires <= SystemTime::now())
    }
}

impl Reviews {
    /// What is known of the pods says which tokens may well be genuine.
    pub(crate) fn new(client: Client, settings: Settings, pods: Arc<dyn Pods>) -> Self {
        let Timing { entries, places, .. } = settings.timing;
        Self {
            client,
            settings,
            pods,
            known: Mutex::new(Recent::new(entries)),
            answers: Answers::new(entries),
            turns: Turns::new(&places),
            complaints: Seldom::new(COMPLAINTS),
        }
    }

    async fn reviewed(&self, token: &Token, from: Option<Source>) -> Result<Yes, Stranger> {
        let turn = match self.known().get(token.digest()) {
            Some(yes) if yes.has_expired() => return Err(Stranger::Expired),
            Some(yes) if yes.is_good(self.settings.timing.yes) => return Ok(yes.clone()),
            Some(_) => Some(Turn::Known),
            None => None,
        };
        let turn = match turn {
            Some(turn) => turn,
            None => {
                let claims = claims::read(token.text(), &self.settings.audiences, SystemTime::now())?;
                Turn::of(claims, from, &*self.pods, &self.settings.trusted)
            }
        };
        let answer = self.answers.get(token.digest(), self.ask(token, &turn)).await;
        // It may have ended while the answer was kept.
        answer.and_then(|yes| if yes.has_expired() { Err(Stranger::Expired) } else { Ok(yes) })
    }

    /// Has a token reviewed when it is its turn; gives what is to be believed, and how long that is worth keeping.
    async fn ask(&self, token: &Token, turn: &Turn) -> (Result<Yes, Stranger>, Duration) {
        let Timing { deadline, no, away, overdue, .. } = self.settings.timing;
        if let Some(yes) = self.believed(token, self.settings.timing.yes) {
            // It was being asked for when this one looked.
            return (Ok(yes), Duration::ZERO);
        }
        let began = Instant::now();
        let asked = timeout(deadline, self.judge(token, turn)).await;
        let answer = asked.unwrap_or(Err(Trouble::TooLate(deadline)));
        if let Err(Trouble::Stranger(Stranger::TooMany)) = answer {
            // Nobody was asked, and the share may be there again in a moment.
            return (Err(Stranger::TooMany), Duration::ZERO);
        }
        metered::review(
            answer.as_ref().map_or_else(|trouble| trouble.stranger().code(), |_| "ok"),
            began.elapsed(),
        );
        match answer {
            Ok(yes) => {
                self.known().insert(*token.digest(), yes.clone());
                // What comes next looks at what is known.
                (Ok(yes), Duration::ZERO)
            }
            Err(Trouble::Stranger(stranger)) => {
                self.known().remove(token.digest());
                (Err(stranger), no)
            }
            Err(trouble) => {
                self.complaints.say(|_| {
                    tracing::warn!(error = %Chain(&trouble), "tokens cannot be reviewed");
                });
                let believed = self.believed(token, overdue);
                if believed.is_some() {
                    metered::overdue();
                }
                (believed.ok_or(Stranger::Unavailable), away)
            }
        }
    }

    async fn judge(&self, token: &Token, turn: &Turn) -> Result<Yes, Trouble> {
        let place = self.turns.place(turn).await?;
        let judged = self.find_out(token).await;
        if !matches!(judged, Err(Trouble::Stranger(_))) {
            place.free_of_charge();
        }
        judged
    }

    async fn find_out(&self, token: &Token) -> Result<Yes, Trouble> {
        let within = self.settings.timing.deadline;
        let reviewed = review::ask(&self.client, token.text(), &self.settings.audiences, within).await?;
        let known = self.known_by(reviewed).await?;
        // The claims of a token are worth something once the API server has said that it made it.
        Ok(Yes { known, reviewed: Instant::now(), expires: claims::expiry(token.text()) })
    }

    /// Who an account is to us.
    async fn known_by(&self, reviewed: Reviewed) -> Result<Known, Trouble> {
        let Reviewed { account, pod, node } = reviewed;
        let pod = pod.ok_or(Stranger::Unbound)?;
        let trusted = self.settings.trusted.contains(&account);
        let node = match node {
            Some(node) if trusted => node,
            _ => {
                let within = self.settings.timing.deadline;
                let place = lookup::node_of(&self.client, &account, &pod, within).await?;
                place.ok_or(Stranger::PodGone)?
            }
        };
        let pod = Some(pod.uid.into());
        if trusted {
            return Ok(Known { caller: Caller::Node(node), reach: Reach::Everything, pod });
        }
        let Settings { trust_domain, root_namespace, .. } = &self.settings;
        let id = SpiffeId::new(trust_domain, &account.namespace, &account.name);
        let caller = Caller::Workload(id.map_err(|_| Stranger::NotAnAccount)?);
        let namespaces = [account.namespace, root_namespace.clone()].into();
        Ok(Known { caller, reach: Reach::Near { node: node.into(), namespaces }, pod })
    }

    /// What is known of a token, if it is good for so long after it was said.
    fn believed(&self, token: &Token, lasting: Duration) -> Option<Yes> {
        self.known().get(token.digest()).filter(|yes| yes.is_good(lasting)).cloned()
    }

    fn known(&self) -> MutexGuard<'_, Recent<Digest, Yes>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[tonic::async_trait]
impl Callers for Reviews {
    async fn find(&self, token: &Token, from: Option<Source>) -> Result<Known, Stranger> {
        Ok(self.reviewed(token, from).await?.known)
    }

    async fn lost(&self, token: &Token, known: &Known) -> Stranger {
        // Streams that began together are not looked at together.
        let spread = Duration::from_millis(u64::from(token.digest().part()) % 1000);
        let pause = self.settings.timing.again.mul_f64(0.8 + 0.4 * spread.as_secs_f64());
        // It was reviewed, so that its claims are true.
        let expires = claims::expiry(token.text());
        loop {
            let left = expires.map(|expires| expires.duration_since(SystemTime::now()).unwrap_or_default());
            sleep(left.map_or(pause, |left| left.min(pause))).await;
            if expires.is_some_and(|expires| expires <= SystemTime::now()) {
                return Stranger::Expired;
            }
            match self.reviewed(token, None).await {
                Ok(yes) if yes.known == *known => {}
                Ok(_) => return Stranger::Unknown,
                // It was good, and nobody says anything else.
                Err(Stranger::Unavailable | Stranger::TooMany) => {}
                Err(stranger) => return stranger,
            }
        }
    }
}

impl Trouble {
    fn stranger(&self) -> Stranger {
        match self {
            Self::Stranger(stranger) => *stranger,
            Self::TooLate(_) | Self::Call(_) => Stranger::Unavailable,
        }
    }
}
