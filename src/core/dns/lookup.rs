//! Who has a name.
//!
//! Goes in: a name as it was asked for. Comes out: the service it stands for, and how it was found. Deliberately absent: the
//! records.
//!
//! Names that services bear come before wildcards, however much had to be made of what was asked for: a wildcard takes what
//! is left over.

use std::net::IpAddr;

use crate::service::Service;
use crate::snapshot::Snapshot;
use crate::snapshot::services::Backed;
use crate::workload::{PortMap, Workload};

use super::Settings;
use super::names::{Home, LONGEST};

/// The workload that asks, and what answers to it depend on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asker<'a> {
    pub(super) client: &'a Workload,
    pub(super) settings: &'a Settings,
}

/// What a name stands for.
#[derive(Debug)]
pub(super) struct Found<'a> {
    /// The full name it was found by.
    pub(super) name: String,
    /// Whether the search domain the question ended with had to be taken off.
    pub(super) stripped: bool,
    /// The service.
    pub(super) backed: &'a Backed,
    /// What of the service has the name.
    pub(super) bearer: Bearer,
}

/// What of a service has a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bearer {
    /// The service itself.
    Service,
    /// The service, which is for everything that ends like the name.
    Wildcard,
    /// An endpoint of the service, which is headless: the name starts with the name of the pod.
    Pod,
}

/// Finds what `asker` means by `name`.
pub(super) fn find<'a>(snapshot: &'a Snapshot, asker: Asker<'_>, name: &str) -> Option<Found<'a>> {
    if snapshot.services().len() == 0 {
        return None;
    }
    let mut wildcard = String::with_capacity(LONGEST);
    first(asker, name, |full| by_name(snapshot, asker, full))
        .or_else(|| first(asker, name, |full| by_wildcard(snapshot, asker, full, &mut wildcard)))
}

/// Gives the first of the names that may be meant that `look` finds.
fn first<'a>(
    asker: Asker<'_>,
    name: &str,
    mut look: impl FnMut(&str) -> Option<(&'a Backed, Bearer)>,
) -> Option<Found<'a>> {
    let home = asker.home();
    let mut full = String::with_capacity(LONGEST);
    for candidate in home.candidates(name) {
        home.write(candidate, &mut full);
        let found = if full.len() <= LONGEST { look(&full) } else { None };
        if let Some((backed, bearer)) = found {
            return Some(Found { name: full, stripped: candidate.stripped, backed, bearer });
        }
    }
    None
}

fn by_name<'a>(snapshot: &'a Snapshot, asker: Asker<'_>, full: &str) -> Option<(&'a Backed, Bearer)> {
    if let Some(backed) = service(snapshot, asker, full) {
        return Some((backed, Bearer::Service));
    }
    let (pod, host) = full.split_once('.').filter(|(_, host)| host.contains(".svc."))?;
    let backed = service(snapshot, asker, host).filter(|backed| backed.service().vips.is_empty())?;
    asker.endpoints(backed).any(|(workload, _)| workload.name() == pod).then_some((backed, Bearer::Pod))
}

/// `wildcard` is room to write in.
fn by_wildcard<'a>(
    snapshot: &'a Snapshot,
    asker: Asker<'_>,
    full: &str,
    wildcard: &mut String,
) -> Option<(&'a Backed, Bearer)> {
    let found = asker.home().wildcard_ends(full).find_map(|end| {
        wildcard.clear();
        wildcard.push_str("*.");
        wildcard.push_str(end);
        service(snapshot, asker, wildcard)
    })?;
    Some((found, Bearer::Wildcard))
}

/// Finds the service with a hostname that `asker` means: the one of its own namespace, else a canonical one, else that of the
/// preferred namespace, else the one whose key sorts first.
fn service<'a>(snapshot: &'a Snapshot, asker: Asker<'_>, hostname: &str) -> Option<&'a Backed> {
    let Asker { client, settings } = asker;
    let sharing = snapshot.backed_by_hostname(hostname);
    let meant = sharing.filter(|it| asker.has_use_for(it.service())).min_by_key(|backed| {
        let service = backed.service();
        let preferred = settings.preferred_namespace.as_ref() == Some(&service.namespace);
        (service.namespace != client.namespace, !service.canonical, !preferred, backed.key())
    });
    meant.map(|backed| &**backed)
}

impl<'a> Asker<'a> {
    pub(super) fn home(self) -> Home<'a> {
        Home { namespace: &self.client.namespace, domain: &self.settings.cluster_domain }
    }

    /// Tells whether the asker may see a service, and there can be addresses of it on the asker's network.
    fn has_use_for(self, service: &Service) -> bool {
        let addressed = if service.vips.is_empty() {
            self.is_headless(service)
        } else {
            self.virtual_addresses(service).next().is_some()
        };
        addressed && service.visible_to(&self.client.namespace)
    }

    /// Gives the virtual addresses of a service on the network of the asker.
    pub(super) fn virtual_addresses<'s>(
        self,
        service: &'s Service,
    ) -> impl Iterator<Item = IpAddr> + use<'a, 's> {
        let here = service.vips.iter().filter(move |vip| vip.network == self.client.network);
        here.map(|vip| vip.ip)
    }

    /// Gives the endpoints of a service that can be reached at an address of theirs, with their ports.
    pub(super) fn endpoints<'s>(
        self,
        backed: &'s Backed,
    ) -> impl Iterator<Item = (&'s Workload, &'s PortMap)> + use<'a, 's> {
        let here = &self.client.network;
        let endpoints = backed.backends().map(|(workload, ports)| (&**workload, ports));
        endpoints.filter(move |(it, _)| it.network == *here && !it.addresses.is_empty())
    }

    /// Tells whether a service without virtual addresses is one of Kubernetes, which gives out the addresses of the
    /// endpoints; the names of other services without virtual addresses are the world's.
    ///
    /// Services of other clusters are told by their names. Within the cluster's own domain nobody else can know a name, so
    /// everything there counts.
    fn is_headless(self, service: &Service) -> bool {
        let elsewhere = || {
            let rest = service.hostname.strip_prefix(&*service.name)?.strip_prefix('.')?;
            Some(rest.strip_prefix(&*service.namespace)?.starts_with(".svc."))
        };
        self.home().is_of_a_service(&service.hostname) || elsewhere() == Some(true)
    }
}
