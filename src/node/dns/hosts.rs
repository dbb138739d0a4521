//! Addresses of hosts, as one pod learns them: for connections whose destination is only a name.
//!
//! In goes a name; out come addresses, each time all there are. Which of them is used is decided elsewhere. It works without
//! listeners too, where the pod's own queries are not captured.
//!
//! ```text
//! name ─▶ whom to ask ─▶ known from them: still fresh? ─▶ addresses
//!                          └─ no ─▶ resolve: A and AAAA at once, one lookup for all who ask ─▶ known
//! ```
//!
//! - **Who is asked**: the server the pod has chosen, if that was of help (see `others::choice`), else those of the node's
//!   `/etc/resolv.conf`; from inside the pod, like everything that is forwarded for it. What one server said is not given when
//!   another is to be asked, and holds for no longer than the choice of that server.
//! - **What is believed**: addresses no connection to another host can go to are left out. A name must not lead to the pod's own
//!   loopback address, where its proxy and whatever trusts the pod listens. Addresses of private networks and the link-local ones
//!   of IPv4 are allowed: that is where such hosts are, and the pod could dial them anyway.
//! - **Stale addresses** (RFC 8767): when nobody answers, the addresses a host had last are given for up to an hour more. While
//!   they are asked for anew, nobody waits for longer than 1.8 s. That a host does not exist is an answer and is believed at once.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use culvert_core::dns::{Answer, Data, Kind, Question};
use hickory_proto::op::ResponseCode;
use tokio::time::timeout;

use super::account;
use super::ask;
use super::flights::Flights;
use super::handler::Handler;
use super::others::Usual;

mod answer;
mod known;
mod resolve;

use known::{Asked, Known};
use resolve::DEADLINE;

/// How long somebody who could have stale addresses waits for fresh ones (RFC 8767 §5).
const PATIENCE: Duration = Duration::from_millis(1800);

/// Addresses of hosts, as one pod learns them. All handles know the same.
#[derive(Debug, Clone)]
pub(crate) struct Hosts(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    handler: Arc<Handler>,
    known: Arc<Known>,
    lookups: Flights<Asked, Found>,
}

/// The addresses of a host, at least one; or why there are none.
type Found = Result<Arc<[IpAddr]>, Error>;

/// Why there are no addresses.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Error {
    #[error("`{name}` cannot be the name of a host; correct it")]
    NotAName { name: Arc<str> },
    #[error("there is no host `{name}`, the nameservers say; check its spelling, and that it is published")]
    NoSuchHost { name: Arc<str> },
    #[error(
        "host `{name}` has no address of a family that is used here; publish one, or look at IPV6_ENABLED"
    )]
    NoAddresses { name: Arc<str> },
    #[error(
        "host `{name}` is said to be at {address}, where no other host can be; correct what is published, or a filter of names"
    )]
    Unusable { name: Arc<str>, address: IpAddr },
    #[error("the nameserver cannot say where host `{name}` is ({code}); look at the server")]
    Complaint { name: Arc<str>, code: ResponseCode },
    #[error("cannot ask where host `{name}` is")]
    Unanswered { name: Arc<str>, source: Arc<ask::Error> },
    #[error("no nameserver said where host `{name}` is within {DEADLINE:?} (host deadline)")]
    TooLate { name: Arc<str> },
    #[error("asking where host `{name}` is was given up; the proxy of the pod ends, or see its log")]
    GivenUp { name: Arc<str> },
}

impl Error {
    /// The stable name of the reason, for the log and the metrics.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::NotAName { .. } => "host_name_invalid",
            Self::NoSuchHost { .. } => "host_unknown",
            Self::NoAddresses { .. } => "host_without_address",
            Self::Unusable { .. } => "host_address_unusable",
            Self::Complaint { .. } | Self::Unanswered { .. } => "nameserver_failed",
            Self::TooLate { .. } => "host_deadline",
            Self::GivenUp { .. } => "host_lookup_given_up",
        }
    }

    /// Whether it says something about the host, rather than about who was asked.
    fn is_settled(&self) -> bool {
        match self {
            Self::NotAName { .. }
            | Self::NoSuchHost { .. }
            | Self::NoAddresses { .. }
            | Self::Unusable { .. } => true,
            Self::Complaint { .. }
            | Self::Unanswered { .. }
            | Self::TooLate { .. }
            | Self::GivenUp { .. } => false,
        }
    }

    /// Whether nobody was asked in the first place.
    fn is_our_doing(&self) -> bool {
        matches!(self, Self::Unanswered { source, .. }
            if matches!(**source, ask::Error::TooMany | ask::Error::GivenUp))
    }
}

impl Hosts {
    pub(super) fn new(handler: Arc<Handler>) -> Self {
        Self(Arc::new(Inner { handler, known: Arc::default(), lookups: Flights::default() }))
    }

    #[cfg(test)]
    pub(super) async fn remember(&self, name: &str, address: IpAddr, life: Duration) {
        let said = Ok(Arc::from([address]));
        let servers = self.0.handler.others.usual().await.upstream.servers;
        let _ = self.0.known.take(Asked { name: name.into(), servers }, resolve::Finding { said, life });
    }

    /// What nameservers say of the host of a workload that has only a name. A name that is not complete (without a dot at its end)
    /// is completed as the node's `/etc/resolv.conf` says.
    ///
    /// # Errors
    /// When there is no address to go to.
    pub(crate) async fn of_workload(&self, hostname: &str) -> Result<Arc<[IpAddr]>, Error> {
        account::on_demand(self.0.handler.local().as_ref(), hostname);
        self.look_up(hostname).await
    }

    /// What the pod would be told of a name: by the mesh if it has that name, else by nameservers. The name is taken as it is.
    ///
    /// # Errors
    /// When there is no address to go to.
    pub(crate) async fn as_the_pod(&self, name: &str) -> Result<Arc<[IpAddr]>, Error> {
        let complete = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        self.learn(&complete).await;
        match self.of_mesh(&complete) {
            Some(addresses) => answer::usable(&complete.into(), addresses),
            None => self.look_up(&format!("{complete}.")).await,
        }
    }

    /// On demand, has the control plane asked for what it may know of a name.
    async fn learn(&self, name: &str) {
        let Handler { mesh, settings, demands, .. } = &*self.0.handler;
        let Some(client) = self.0.handler.local().filter(|_| mesh.is_on_demand()) else { return };
        let question = Question { name, kind: Kind::A };
        let lacking = culvert_core::dns::lacking(&mesh.snapshot(), &client, settings, question);
        demands.learn(&demands.of_use(lacking)).await;
    }

    /// The addresses the mesh gives a name; `None` when others are to be asked.
    fn of_mesh(&self, name: &str) -> Option<Vec<IpAddr>> {
        let Handler { mesh, settings, .. } = &*self.0.handler;
        let (snapshot, client) = (mesh.snapshot(), self.0.handler.local()?);
        let mut addresses = None;
        for kind in [Kind::A, Kind::Aaaa] {
            let question = Question { name, kind };
            let said = culvert_core::dns::answer(&snapshot, &client, settings, question, rand::random());
            let records = match said {
                Answer::Records(records) => records,
                Answer::Nothing => Vec::new(),
                Answer::NotOurs => continue,
            };
            let found: &mut Vec<IpAddr> = addresses.get_or_insert_default();
            found.extend(records.into_iter().filter_map(|record| match record.data {
                Data::Address(address) => Some(address),
                Data::Cname(_) | Data::Service { .. } => None,
            }));
        }
        addresses
    }

    async fn look_up(&self, name: &str) -> Found {
        if let Ok(address) = name.strip_suffix('.').unwrap_or(name).parse() {
            return answer::usable(&name.into(), vec![address]);
        }
        let name: Arc<str> = name.to_ascii_lowercase().into();
        let usual = self.0.handler.others.usual().await;
        let asked = Asked { name, servers: Arc::clone(&usual.upstream.servers) };
        match self.0.known.find(&asked) {
            Some(known::Entry { said, is_fresh: true }) => said,
            Some(known::Entry { said, is_fresh: false }) => {
                timeout(PATIENCE, self.ask(asked, usual)).await.unwrap_or(said)
            }
            None => self.ask(asked, usual).await,
        }
    }

    /// Asks, together with all who want to know the same of the same servers.
    async fn ask(&self, asked: Asked, usual: Usual) -> Found {
        let (handler, known) = (Arc::clone(&self.0.handler), Arc::clone(&self.0.known));
        let (flight, name) = (asked.clone(), Arc::clone(&asked.name));
        let work = async move {
            let finding = resolve::resolve(&handler, usual, &asked.name).await;
            known.take(asked, finding)
        };
        let found = self.0.lookups.join(flight, work).await;
        found.unwrap_or(Err(Error::GivenUp { name }))
    }
}
