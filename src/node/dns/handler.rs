//! The life of a query.
//!
//! ```text
//! bytes ─▶ message ─▶ own: does the mesh know? ─▶ answer
//!                       └─ no ─▶ on demand: may there be more to know? ─▶ ask for it ─▶ own once more ─▶ answer
//!                                  └─ no ─▶ cache ─▶ answer
//!                                             └─ no ─▶ ask others ─▶ answer
//! ```
//! What the mesh knows is answered at once and waits for nothing, least of all for others; on demand what it does not know yet is
//! waited for, as long as `demand` allows. A pod the mesh does not know (yet)
//! has its queries forwarded: DNS is the first thing it needs, and others can help.

use std::sync::Arc;

use culvert_core::dns::Settings;
use culvert_core::workload::Workload;
use culvert_process::exit::Chain;
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::RecordType;

use super::account::{Account, Outcome};
use super::ask;
use super::demand::Demands;
use super::message::{self, Operation, Query, Received, Transport};
use super::others::{Others, Wanted};
use super::{own, wire};
use crate::mesh::Mesh;
use crate::proxy::PodInfo;

/// Answers the queries of one pod.
#[derive(Debug)]
pub(super) struct Handler {
    pub(super) pod: PodInfo,
    pub(super) mesh: Mesh,
    pub(super) settings: Settings,
    pub(super) demands: Demands,
    pub(super) others: Others,
}

/// What is left to do for a message.
#[derive(Debug)]
pub(super) enum Step {
    /// Send this back, if it is anything.
    Done(Option<Vec<u8>>),
    /// Others are to be asked: the control plane, or other servers.
    Forward(Pending),
}

/// A message that others are to be asked about.
#[derive(Debug)]
pub(super) struct Pending {
    asked: Asked,
    transport: Transport,
    account: Account,
}

#[derive(Debug)]
enum Asked {
    /// With what is to be asked for first.
    Query(Box<Query>, Vec<Arc<str>>),
    Operation(Operation),
}

/// What names of ours have records of.
const ANSWERED: [RecordType; 3] = [RecordType::A, RecordType::AAAA, RecordType::SRV];

impl Handler {
    /// Does what can be done without waiting.
    pub(super) fn begin(&self, bytes: Vec<u8>, transport: Transport) -> Step {
        let local = self.local();
        let account = |kind, name: String| Account::begin(local.clone(), transport, kind, name);
        match message::receive(bytes, transport) {
            Received::Nothing => Step::Done(None),
            Received::Wrong(answer) => {
                account(None, String::new()).end(&Outcome::Refused("not a query that is understood"));
                Step::Done(answer)
            }
            Received::Operation(operation) => {
                let account = account(None, String::new());
                Step::Forward(Pending { asked: Asked::Operation(operation), transport, account })
            }
            Received::Query(query) => {
                let account = account(Some(query.kind()), query.name().to_ascii());
                self.begin_query(query, transport, local.as_deref(), account)
            }
        }
    }

    fn begin_query(
        &self,
        query: Query,
        transport: Transport,
        local: Option<&Workload>,
        account: Account,
    ) -> Step {
        // A transfer is many messages, and to pass on the first would look like all of them.
        if [RecordType::AXFR, RecordType::IXFR].contains(&query.kind()) {
            account.end(&Outcome::Refused("zone transfers are not forwarded"));
            return Step::Done(query.write(query.answer(ResponseCode::NotImp)));
        }
        let lacking = local.map_or(Vec::new(), |local| self.lacking(local, &query));
        let known = if lacking.is_empty() { self.known(local, &query) } else { None };
        let Some(answer) = known else {
            let asked = Asked::Query(Box::new(query), lacking);
            return Step::Forward(Pending { asked, transport, account });
        };
        account.end(&told(&query, &answer));
        Step::Done(query.write(answer))
    }

    /// What the mesh says.
    fn known(&self, local: Option<&Workload>, query: &Query) -> Option<Message> {
        own::answer(&self.mesh.snapshot(), local?, &self.settings, query, rand::random())
    }

    /// What is to be asked for before it is known what the mesh says: nothing, where snapshots are complete.
    fn lacking(&self, local: &Workload, query: &Query) -> Vec<Arc<str>> {
        if !self.mesh.is_on_demand() {
            return Vec::new();
        }
        self.demands.of_use(own::lacking(&self.mesh.snapshot(), local, &self.settings, query))
    }

    /// Asks others.
    pub(super) async fn finish(&self, pending: Pending, wanted: Wanted) -> Option<Vec<u8>> {
        let Pending { asked, transport, account } = pending;
        let (answer, outcome) = match asked {
            Asked::Query(query, lacking) => match self.learn(&lacking, &query).await {
                Some(answer) => {
                    let outcome = told(&query, &answer);
                    (query.write(answer), outcome)
                }
                None => self.forward(&query, transport, wanted, &account).await,
            },
            Asked::Operation(operation) => self.pass_on(&operation, transport, wanted, &account).await,
        };
        account.end(&outcome);
        answer
    }

    /// Asks for what is lacking, and says what the mesh says then.
    async fn learn(&self, lacking: &[Arc<str>], query: &Query) -> Option<Message> {
        if lacking.is_empty() {
            return None;
        }
        self.demands.learn(lacking).await;
        self.known(self.local().as_deref(), query)
    }

    async fn forward(
        &self,
        query: &Query,
        transport: Transport,
        wanted: Wanted,
        account: &Account,
    ) -> (Option<Vec<u8>>, Outcome) {
        let failed = |error: &ask::Error| {
            let answer = query.write(query.answer(ResponseCode::ServFail));
            (answer, Outcome::Failed(Chain(error).to_string()))
        };
        let upstream = match self.others.upstream(wanted).await {
            Ok(upstream) => upstream,
            Err(error) => return failed(&error),
        };
        if let Some(answer) = self.others.kept(query, &upstream) {
            self.others.is_still_wanted(wanted);
            return (self.passed_on(query, answer), Outcome::Cached);
        }
        match asked(self.others.ask(query, upstream, transport), account).await {
            Ok(answer) => {
                if wire::is_settled(&answer) {
                    self.others.was_of_help(wanted);
                }
                (self.passed_on(query, answer), Outcome::Forwarded)
            }
            Err(error) => failed(&error),
        }
    }

    /// Passes on what others say, unless they deny a name the mesh has.
    fn passed_on(&self, query: &Query, answer: Vec<u8>) -> Option<Vec<u8>> {
        let ours = if wire::is_name_error(&answer) { self.existence(query) } else { None };
        ours.or_else(|| query.pass_on(answer))
    }

    /// Passes on what is no query: to whom the client wanted to have it, or to nobody.
    async fn pass_on(
        &self,
        operation: &Operation,
        transport: Transport,
        wanted: Wanted,
        account: &Account,
    ) -> (Option<Vec<u8>>, Outcome) {
        let Some(server) = self.others.chosen(wanted) else {
            return (
                operation.not_implemented(),
                Outcome::Refused("this operation is for others, and for whom is not known"),
            );
        };
        match asked(self.others.pass_on(&operation.wire, server, transport), account).await {
            Ok(answer) => (Some(operation.pass_on(answer)), Outcome::Forwarded),
            Err(error) => (operation.failed(), Outcome::Failed(Chain(&error).to_string())),
        }
    }

    /// An empty answer, if the mesh has a name that others say does not exist.
    fn existence(&self, query: &Query) -> Option<Vec<u8>> {
        let local = self.local()?;
        own::existence(&self.mesh.snapshot(), &local, &self.settings, query)
            .and_then(|answer| query.write(answer))
    }

    /// The workload that asks, if it is known by now.
    pub(super) fn local(&self) -> Option<Arc<Workload>> {
        let PodInfo { name, namespace, service_account } = &self.pod;
        self.mesh.snapshot().local_workload(namespace, name, service_account).cloned()
    }
}

/// How a query ends that the mesh answers.
fn told(query: &Query, answer: &Message) -> Outcome {
    match answer.answers.len() {
        0 if !ANSWERED.contains(&query.kind()) => Outcome::NoSuchType,
        0 => Outcome::NoRecords,
        count => Outcome::Answered(count),
    }
}

/// Waits for what others say, and has it counted.
async fn asked(
    asking: impl Future<Output = Result<Vec<u8>, ask::Error>>,
    account: &Account,
) -> Result<Vec<u8>, ask::Error> {
    let since = account.asked();
    let said = asking.await;
    account.settled(since, said.as_ref().is_ok_and(|answer| wire::is_settled(answer)));
    said
}
