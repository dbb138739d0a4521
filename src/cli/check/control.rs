//! Whether a node here can reach its control plane and whoever issues its certificates, and would trust them.
use std::time::SystemTime;

use super::catalogue::Family;
use super::finding::{Check, Finding, Verdict};
use super::tls::{self, Met, Reach};
use super::{Context, clock};

mod agent;
mod judge;
mod settings;

use agent::Agent;
use judge::{Judge, reached};
pub(crate) use settings::{Options, Settings};
use settings::{Root, Server, parse};

pub(crate) const FAMILY: Family =
    Family { name: "control-plane", checks: &[&XDS, &XDS_CERTIFICATE, &CA, &CA_CERTIFICATE, &SKEW], look };

const XDS: Check =
    Check { name: "xds", why: "without the mesh state a node does not get ready, and serves no pod" };
const XDS_CERTIFICATE: Check =
    Check { name: "xds-certificate", why: "a node takes the mesh state from nobody it does not trust" };
const CA: Check = Check { name: "ca", why: "without certificates no tunnel can be made" };
const CA_CERTIFICATE: Check = Check {
    name: "ca-certificate",
    why: "a node shows its token, and asks for certificates, nobody it does not trust",
};
const SKEW: Check = Check {
    name: "clock-skew",
    why: "a clock that is behind the authority's takes new certificates for not valid yet, one that is ahead for expired",
};

fn look(context: &Context<'_>) -> Vec<Finding> {
    let Settings { xds, ca, agent } = &context.control;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return FAMILY.checks.iter().map(|it| it.finding(Verdict::unseen(&error))).collect(),
    };
    let issuer = async {
        match agent {
            Some(agent) => (Outcome::NotSaid, Some(agent.reached().await)),
            None => (ca.reach().await, None),
        }
    };
    let (first, (second, of_agent)) = runtime.block_on(async { tokio::join!(xds.reach(), issuer) });
    // A name that is still being looked up keeps nobody waiting.
    runtime.shutdown_background();
    let now = SystemTime::now();
    let skew = first.skew(now).or_else(|| second.skew(now));
    let skew = skew.unwrap_or_else(|| Verdict::unknown("nobody to compare with", "say --xds HOST:PORT"));
    let (issuer, shown) = match of_agent {
        Some(verdict) => (verdict, Agent::certificate()),
        None => (second.address(ca), second.certificate(ca, now)),
    };
    vec![
        XDS.finding(first.address(xds)),
        XDS_CERTIFICATE.finding(first.certificate(xds, now)),
        CA.finding(issuer),
        CA_CERTIFICATE.finding(shown),
        SKEW.finding(skew),
    ]
}

impl Server {
    async fn reach(&self) -> Outcome {
        let Some(address) = &self.address else { return Outcome::NotSaid };
        match parse(address) {
            Some((host, port)) => Outcome::Tried(host.clone(), tls::meet(&host, port).await),
            None => Outcome::Nonsense(address.clone()),
        }
    }
}

/// What came of going to a server.
#[derive(Debug)]
enum Outcome {
    NotSaid,
    Nonsense(String),
    Tried(String, Reach),
}

impl Outcome {
    fn met(&self) -> Option<(&str, &Met)> {
        match self {
            Self::Tried(host, Reach::Tls(met)) => Some((host, met)),
            Self::Tried(..) | Self::NotSaid | Self::Nonsense(_) => None,
        }
    }

    fn skew(&self, now: SystemTime) -> Option<Verdict> {
        let (_, met) = self.met()?;
        Some(clock::skew(seconds(now), met.date, met.presented()?.valid))
    }

    fn address(&self, server: &Server) -> Verdict {
        let variable = server.variables[0];
        match self {
            Self::NotSaid => Verdict::unknown(
                format!("{variable} is not set"),
                "say where it is (--xds, --ca), or whose environment says so (--env-of PID)",
            ),
            Self::Nonsense(address) => Verdict::problem(
                format!("{address:?} is no address"),
                format!("set {variable} to HOST:PORT or https://HOST:PORT"),
            ),
            Self::Tried(host, reach) => reached(host, reach, variable),
        }
    }

    fn certificate(&self, server: &Server, now: SystemTime) -> Verdict {
        let Some((host, met)) = self.met() else {
            let variable = server.variables[0];
            return Verdict::unknown("none was shown", format!("have a server answer at {variable} first"));
        };
        let Some(presented) = met.presented() else {
            return Verdict::problem(
                "it cannot be read",
                format!("see: openssl s_client -connect {}", met.peer),
            );
        };
        let store = match server.root.as_ref().map(|root| (root, root.store())) {
            Some((root, Err(why))) => {
                let found = format!("the roots in {} cannot be used: {why}", root.origin());
                return Verdict::problem(found, format!("put the root {} there", presented.root));
            }
            Some((_, Ok(store))) => Some(store),
            None => None,
        };
        let hosts: Vec<&str> = std::iter::once(host).chain(server.alternative.as_deref()).collect();
        let trust = met.trust(store.as_ref(), &hosts, now);
        let origin = server.root.as_ref().map(Root::origin).unwrap_or_default();
        Judge { presented: &presented, host, origin: &origin, variables: server.variables, now: seconds(now) }
            .of(&trust)
    }
}

fn seconds(moment: SystemTime) -> i64 {
    let since = moment.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
