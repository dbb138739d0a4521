//! The agent as a whole: what it needs wherever the wishes come from, put together and run.
//!
//! In go the command line and a stream of wishes; out come enrolled pods, and nodes that serve them. Where the wishes come from,
//! and who is told what has become of them, is the business of [`from_file`](crate::from_file) and
//! [`in_cluster`](crate::in_cluster).

use std::future::Future;
use std::sync::Arc;

use culvert_metrics::Metrics;
use culvert_process::exit::Failure;
use culvert_serving::liveness::Liveness;
use culvert_sys::limits;
use culvert_sys::netns::Netns;
use ebpf_free_iptables::{Iptables, PACKET_MARK};
use tokio::sync::watch;
use tracing::info;

use crate::args::Args;
use crate::board::{self, Boards, Telling, Told};
use crate::descriptors::Budget;
use crate::enrolment::{Enrolment, Exit, Outlets, Tools};
use crate::handed::Handed;
use crate::namespaces::{Host, Kubelet, Namespaces};
use crate::pod::{Desired, PodSpec};
use crate::rules::IptablesRules;
use crate::served::Served;
use crate::server::{self, Progress};
use crate::table::Subscriber;
use crate::unheard::Unheard;
use crate::zds::server as nodes;

/// Why the agent cannot start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(
        "entering pods' network namespaces and programming them is not permitted; run culvert-agent as root"
    )]
    Privileges(#[source] std::io::Error),
    #[error("the own network namespace cannot be looked at; mount /proc")]
    Host(#[source] std::io::Error),
    #[error("{0} cannot be set up")]
    System(&'static str, #[source] std::io::Error),
}

/// What the machine gives.
pub(crate) struct Machine {
    pub(crate) iptables: Iptables,
    pub(crate) host: Host,
    open_files: u64,
    metrics: Metrics,
}

impl Machine {
    /// Sees whether everything is permitted and there.
    pub(crate) fn look(args: &Args) -> Result<Self, Failure> {
        limits::may_enter_namespaces()
            .and_then(|()| limits::may_mark_packets(PACKET_MARK))
            .map_err(|error| Failure::runtime(Error::Privileges(error)))?;
        let iptables = Iptables::detect().map_err(Failure::runtime)?;
        let open_files =
            limits::raise_open_files().map_err(|e| Failure::runtime(Error::System("file limit", e)))?;
        let host = Host::find(&args.proc).map_err(|error| Failure::runtime(Error::Host(error)))?;
        let metrics = server::record().map_err(Failure::runtime)?;
        info!(iptables = iptables.describe(), open_files, "starting");
        Ok(Self { iptables, host, open_files, metrics })
    }
}

/// An agent that is about to run. Nodes may connect already; they wait for their snapshot until the pods have been programmed.
pub(crate) struct Agent {
    socket: nodes::Socket,
    tools: Tools,
    namespaces: Namespaces,
    outlets: Outlets,
    pub(crate) metrics: Metrics,
    liveness: Liveness,
    pub(crate) table: Subscriber,
    pub(crate) boards: Boards,
}

impl Agent {
    /// Takes the place of the agent of this node: there is one that nodes can connect to.
    pub(crate) fn open(args: &Args, machine: Machine, kubelet: Kubelet) -> Result<(Self, Told), Failure> {
        let socket = nodes::bind(&args.socket).map_err(Failure::runtime)?;
        let handed = Handed::default();
        let rules = IptablesRules { iptables: machine.iptables, unheard: Unheard::default() };
        let tools = Tools {
            rules: Arc::new(rules),
            host: machine.host.with_kubelet(kubelet),
            handed: handed.clone(),
            served: Served::default(),
            budget: Budget::new(machine.open_files),
        };
        let (table, subscriber) = watch::channel(None);
        let (show, boards) = watch::channel(Arc::default());
        let (tell, occurrences) = board::telling();
        let agent = Self {
            socket,
            tools,
            namespaces: Namespaces::new(args.proc.clone(), handed),
            outlets: Outlets { table, board: show, tell },
            metrics: machine.metrics,
            liveness: Liveness::default(),
            table: subscriber,
            boards,
        };
        Ok((agent, occurrences))
    }

    pub(crate) fn telling(&self) -> Telling {
        self.outlets.tell.clone()
    }

    pub(crate) fn handed(&self) -> Handed {
        self.tools.handed.clone()
    }

    pub(crate) fn host(&self) -> &Host {
        &self.tools.host
    }

    /// Serves metrics and readiness beside what is to be done.
    pub(crate) async fn serve(&self, args: &server::Args, progress: Progress) -> Result<(), Failure> {
        let listener = server::bind(args).map_err(Failure::runtime)?;
        let shown = (progress, self.liveness.clone());
        tokio::spawn(server::serve(listener, self.metrics.clone(), shown));
        Ok(())
    }

    /// Enrols what is wished for until the exit, `adopted` pods included. When it returns, nodes know the last state.
    pub(crate) async fn run(
        self,
        wishes: watch::Receiver<Desired>,
        adopted: Vec<(PodSpec, Arc<Netns>)>,
        exit: impl Future<Output = Exit>,
    ) -> Result<(), Failure> {
        let nodes = tokio::spawn(nodes::serve(self.socket, self.table, self.tools.served.clone()));
        let mut enrolment = Enrolment::new(self.tools, self.namespaces, self.outlets);
        enrolment.adopt(adopted);
        let result = self.liveness.main("enrolment").beside(enrolment.run(wishes, exit)).await;
        // The table has ended with the enrolment, and so do the sessions.
        nodes.await.map_err(Failure::runtime)?;
        result.map_err(Failure::runtime)
    }
}
