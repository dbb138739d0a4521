//! Who is measured: each carries the same client's traffic to the same server over a wire of its own.

use std::net::SocketAddr;
use std::path::PathBuf;

use culvert_lab::{Pod, Program, Programs};

use super::error::Error;
use super::load::{COLD, COLD_PORTS};
use super::topology::{self, Bed};

mod envoy;
mod mesh;
mod relay;

/// The subjects, in the order of the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(super) enum Kind {
    /// No proxy at all.
    Direct,
    /// Plain TCP relays.
    Relay,
    /// Envoys with HTTP/2 CONNECT over mutual TLS.
    Envoy,
    /// Culvert.
    Culvert,
    /// Culvert with the node program that the variable `SUBJECT` names.
    Subject,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Relay => "relay",
            Self::Envoy => "envoy",
            Self::Culvert => "culvert",
            Self::Subject => "subject",
        }
    }
}

/// Where the programs are.
#[derive(Debug)]
pub(super) struct Places {
    pub(super) programs: PathBuf,
    pub(super) envoy: PathBuf,
    /// Another node program.
    pub(super) subject: Option<PathBuf>,
}

/// A subject, running.
pub(super) struct Subject {
    pub(super) kind: Kind,
    pub(super) bed: Bed,
    /// The proxy at the client and the one at the server, if there are any.
    pub(super) proxies: Option<[Program; 2]>,
    envoy: PathBuf,
}

impl Subject {
    /// Makes its cluster and starts it.
    pub(super) fn start(kind: Kind, places: &Places) -> Result<Self, Error> {
        let bed = Bed::make(kind.name(), programs(kind, places)?)?;
        match kind {
            Kind::Direct => {}
            Kind::Relay => relay::prepare(&bed)?,
            Kind::Envoy => envoy::prepare(&bed)?,
            Kind::Culvert | Kind::Subject => mesh::prepare(&bed)?,
        }
        let mut subject = Self { kind, bed, proxies: None, envoy: places.envoy.clone() };
        subject.restart()?;
        subject.bed.wait_until_it_carries()?;
        Ok(subject)
    }

    /// Replaces its proxies by new processes, which have carried nothing yet.
    pub(super) fn restart(&mut self) -> Result<(), Error> {
        for program in self.proxies.take().into_iter().flatten() {
            program.kill_hard()?;
        }
        self.proxies = match self.kind {
            Kind::Direct => None,
            Kind::Relay => Some(relay::start(&self.bed)?),
            Kind::Envoy => Some(envoy::start(&self.bed, &self.envoy)?),
            Kind::Culvert | Kind::Subject => Some(mesh::start(&self.bed)?),
        };
        Ok(())
    }

    /// Whether its proxies run. One that has ended by itself will not come back by itself.
    pub(super) fn is_up(&self) -> bool {
        self.kind == Kind::Direct
            || self.proxies.as_ref().is_some_and(|proxies| proxies.iter().all(Program::is_running))
    }

    /// Ways to the server for which there is no tunnel yet, each good for one connection.
    pub(super) fn cold_ways(&mut self) -> Result<Vec<(Pod, SocketAddr)>, Error> {
        match self.kind {
            Kind::Culvert | Kind::Subject => return mesh::strangers(&self.bed, COLD_PORTS.into()),
            Kind::Envoy => {
                self.restart()?;
                self.bed.wait_until_it_carries()?;
            }
            Kind::Direct | Kind::Relay => {}
        }
        let way = |port| (self.bed.client.clone(), self.bed.to(port));
        Ok((COLD..COLD + COLD_PORTS).map(way).collect())
    }

    /// Takes away what was made for the ways.
    pub(super) fn forget(&self, ways: &[(Pod, SocketAddr)]) -> Result<(), Error> {
        let strangers = ways.iter().filter(|(pod, _)| pod.uid() != self.bed.client.uid());
        for (pod, _) in strangers {
            self.bed.lab.delete(pod)?;
        }
        Ok(())
    }
}

fn programs(kind: Kind, places: &Places) -> Result<Option<Programs>, Error> {
    match (kind, &places.subject) {
        (Kind::Direct | Kind::Relay | Kind::Envoy, _) => Ok(None),
        (Kind::Subject, Some(node)) => Ok(Some(topology::programs(&places.programs)?.with_node(node))),
        (Kind::Culvert | Kind::Subject, _) => Ok(Some(topology::programs(&places.programs)?)),
    }
}
