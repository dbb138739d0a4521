//! Asking nameservers for a host.
//!
//! In goes a name; out comes a finding, and how long it holds. Nothing is kept here.

use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::Message;
use hickory_proto::rr::{Name, RecordType};
use tokio::time::{Instant, timeout, timeout_at};

use super::answer::{self, Told};
use super::{Error, Found};
use crate::dns::ask::{self, Upstream};
use crate::dns::handler::Handler;
use crate::dns::message::{self, Query};
use crate::dns::others::Usual;
use crate::dns::own;

/// How long a lookup may take in all.
pub(super) const DEADLINE: Duration = Duration::from_secs(5);
/// How long one server may take, at most: there may be another one.
const SERVER_DEADLINE: Duration = Duration::from_secs(2);
/// How long the other family is waited for when there are addresses of one. Some servers do not answer for AAAA at all.
const OTHER_FAMILY: Duration = Duration::from_secs(1);

/// How long addresses hold, whatever is said: at least so long that not every connection asks.
const ADDRESSES_HOLD: (u64, u64) = (5, 3600);
/// How long it holds that there are none. Who waits for a host to appear should not wait for long.
const NOTHING_HOLDS: (u64, u64) = (5, 60);
/// How long it is taken for granted that nobody answers (RFC 9520 §3.2 wants at least one).
const FAILURE_HOLDS: Duration = Duration::from_secs(2);

/// What was found out of a host.
#[derive(Debug)]
pub(super) struct Finding {
    pub(super) said: Found,
    /// How long that holds.
    pub(super) life: Duration,
}

/// Looks a host up, completing its name if that is not complete. Nothing holds for longer than the choice of whom to ask.
pub(super) async fn resolve(handler: &Handler, usual: Usual, name: &Arc<str>) -> Finding {
    let Usual { upstream, holds } = usual;
    let found = timeout(DEADLINE, search(handler, upstream, name)).await;
    let found = found.unwrap_or_else(|_| Err(Error::TooLate { name: Arc::clone(name) }));
    let Finding { said, life } =
        found.unwrap_or_else(|error| Finding { said: Err(error), life: FAILURE_HOLDS });
    Finding { said, life: life.min(holds) }
}

/// Looks for a host under each name that may be meant; an error when somebody does not answer. Others are not tried then: they
/// would be other hosts.
async fn search(handler: &Handler, upstream: Upstream, name: &Arc<str>) -> Result<Finding, Error> {
    let upstream = within_deadline(upstream);
    let mut last = None;
    for complete in handler.others.completed(name).await {
        let is_plain = complete.bytes().all(|byte| byte.is_ascii_graphic());
        let Some(complete) = own::name(&complete).filter(|_| is_plain) else { continue };
        let host = Host { handler, upstream: &upstream, name, complete };
        let finding = host.look_up().await?;
        match finding.said {
            Err(Error::NoSuchHost { .. }) if last.is_some() => {}
            Err(Error::NoSuchHost { .. } | Error::NoAddresses { .. }) => last = Some(finding),
            _ => return Ok(finding),
        }
    }
    let not_a_name = || holding(Err(Error::NotAName { name: Arc::clone(name) }), None);
    Ok(last.unwrap_or_else(not_a_name))
}

/// All servers are to be asked at least once within the deadline.
fn within_deadline(upstream: Upstream) -> Upstream {
    let servers = u32::try_from(upstream.servers.len()).unwrap_or(u32::MAX);
    let share = DEADLINE / servers.saturating_add(1);
    Upstream { timeout: upstream.timeout.min(share).min(SERVER_DEADLINE), ..upstream }
}

fn unanswered(name: &Arc<str>, source: ask::Error) -> Error {
    Error::Unanswered { name: Arc::clone(name), source: Arc::new(source) }
}

/// A host under one complete name.
struct Host<'a> {
    handler: &'a Handler,
    upstream: &'a Upstream,
    /// The name that is looked up.
    name: &'a Arc<str>,
    /// The complete name.
    complete: Name,
}

impl Host<'_> {
    /// Asks for both families at once, if both are used.
    async fn look_up(&self) -> Result<Finding, Error> {
        if !self.handler.settings.ipv6 {
            return Ok(self.finding(vec![self.ask(RecordType::A).await?]));
        }
        let (mut v4, mut v6) = (Box::pin(self.ask(RecordType::A)), Box::pin(self.ask(RecordType::AAAA)));
        let (v4, v6) = tokio::select! {
            first = &mut v4 => {
                let other = self.other(&first, v6).await;
                (Some(first), other)
            }
            first = &mut v6 => {
                let other = self.other(&first, v4).await;
                (other, Some(first))
            }
        };
        let told: Vec<_> = [v4, v6].into_iter().flatten().collect();
        let has_addresses =
            |told: &Result<Told, Error>| told.as_ref().is_ok_and(|it| !it.addresses.is_empty());
        if !told.iter().any(has_addresses) {
            return Ok(self.finding(told.into_iter().collect::<Result<_, _>>()?));
        }
        // What is missing may come the next time.
        let is_whole = told.len() == 2 && told.iter().all(Result::is_ok);
        let mut finding = self.finding(told.into_iter().flatten().collect());
        if !is_whole {
            finding.life = Duration::from_secs(ADDRESSES_HOLD.0);
        }
        Ok(finding)
    }

    /// Waits for the other family: not for long when the first has addresses.
    async fn other(
        &self,
        first: &Result<Told, Error>,
        other: impl Future<Output = Result<Told, Error>>,
    ) -> Option<Result<Told, Error>> {
        let is_enough = first.as_ref().is_ok_and(|told| !told.addresses.is_empty());
        let patience = if is_enough { OTHER_FAMILY } else { DEADLINE };
        timeout_at(Instant::now() + patience, other).await.ok()
    }

    async fn ask(&self, kind: RecordType) -> Result<Told, Error> {
        let name = || Arc::clone(self.name);
        let query = Query::for_record(&self.complete, kind);
        let query = query.ok_or_else(|| Error::NotAName { name: name() })?;
        let said = self.answer(&query).await?;
        answer::read(&said, &self.complete).map_err(|code| Error::Complaint { name: name(), code })
    }

    async fn answer(&self, query: &Query) -> Result<Message, Error> {
        let Self { handler, upstream, .. } = self;
        let answer = match handler.others.kept(query, upstream) {
            Some(kept) => kept,
            None => {
                let asked = handler.others.ask_for_host(query, (*upstream).clone()).await;
                asked.map_err(|error| unanswered(self.name, error))?
            }
        };
        message::read(&answer).ok_or_else(|| unanswered(self.name, ask::Error::Unreadable))
    }

    /// Puts together what was said of the families.
    fn finding(&self, told: Vec<Told>) -> Finding {
        let exists = told.iter().any(|told| told.exists);
        let life = told.iter().filter_map(|told| told.life).min();
        let addresses = told.into_iter().flat_map(|told| told.addresses).collect();
        let said = match answer::usable(self.name, addresses) {
            Err(Error::NoAddresses { name }) if !exists => Err(Error::NoSuchHost { name }),
            said => said,
        };
        holding(said, life)
    }
}

/// A finding that holds as long as is said of it, within reason.
fn holding(said: Found, life: Option<u32>) -> Finding {
    let (least, most) = if said.is_ok() { ADDRESSES_HOLD } else { NOTHING_HOLDS };
    let life = Duration::from_secs(life.map_or(least, u64::from).clamp(least, most));
    Finding { said, life }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_holds_within_reason() {
        let name: Arc<str> = "web".into();
        let addresses = || Ok(Arc::from([std::net::IpAddr::from([192, 0, 2, 1])]));
        let nothing = || Err(Error::NoSuchHost { name: Arc::clone(&name) });
        for (said, life, expected) in [
            (addresses(), Some(0), 5),
            (addresses(), None, 5),
            (addresses(), Some(300), 300),
            (addresses(), Some(u32::MAX), 3600),
            (nothing(), None, 5),
            (nothing(), Some(30), 30),
            (nothing(), Some(900), 60),
        ] {
            assert_eq!(holding(said, life).life.as_secs(), expected, "{life:?}");
        }
    }

    #[tokio::test]
    async fn a_finding_holds_no_longer_than_whom_to_ask() {
        let handler = crate::dns::tests::handler(crate::dns::tests::MESH, &[]);
        for (holds, expected) in [(FAILURE_HOLDS / 2, FAILURE_HOLDS / 2), (Duration::MAX, FAILURE_HOLDS)] {
            let nobody = Upstream { servers: Arc::new([]), timeout: SERVER_DEADLINE, attempts: 1 };
            let finding = resolve(&handler, Usual { upstream: nobody, holds }, &"web".into()).await;
            assert_eq!(finding.life, expected);
        }
    }

    #[test]
    fn each_server_is_asked_once_within_the_deadline() {
        let server = "192.0.2.53:53".parse().unwrap();
        for count in 0..=3 {
            let upstream = Upstream {
                servers: std::iter::repeat_n(server, count).collect(),
                timeout: Duration::from_secs(30),
                attempts: 5,
            };
            let servers = u32::try_from(count).unwrap();
            let each = within_deadline(upstream.clone()).timeout;
            assert!(each * servers < DEADLINE && each <= SERVER_DEADLINE, "{each:?}");
            let quick = Upstream { timeout: Duration::from_millis(100), ..upstream };
            assert_eq!(within_deadline(quick).timeout, Duration::from_millis(100));
        }
    }
}
