//! Policies: what each makes, and which of them a workload refers to.

use std::sync::Arc;

use super::Deriver;
use crate::cluster::Id;
use crate::cluster::indexed::Governs;
use crate::cluster::made::Output;
use crate::facts::{Dated, Facts};
use crate::policy::{AuthorizationPolicy, Governed, Level, Levels, PeerAuthentication, strict};
use crate::{Key, Kind, Labels};

impl<'a> Deriver<'a> {
    pub(super) fn authorization(&mut self, id: &Id, policy: &Dated<AuthorizationPolicy>) -> Output {
        let (says, settings) = (&policy.says, &self.world.settings);
        let enforced = says.enforced(self.governed_by(id));
        Output {
            policies: says.policy(settings).into_iter().collect(),
            conditions: says.accepted(settings).into_iter().chain([enforced]).collect(),
            uid: policy.uid.clone(),
            generation: policy.generation,
            ..Output::default()
        }
    }

    pub(super) fn authentication(&mut self, id: &Id, policy: &Dated<PeerAuthentication>) -> Output {
        let (says, settings) = (&policy.says, &self.world.settings);
        let own = match says.level(settings) {
            Level::Workload => Levels { workload: Some(says), ..self.above(&id.namespace) }.policy(settings),
            Level::Mesh | Level::Namespace => None,
        };
        let common = strict(settings).key;
        let enforced = match self.overruling(id, says) {
            Some(other) => PeerAuthentication::overruled(other),
            None => says.enforced(settings, self.governed_by(id)),
        };
        Output {
            policies: own.into_iter().filter(|policy| policy.key != common).collect(),
            conditions: vec![says.accepted(settings), enforced],
            uid: policy.uid.clone(),
            generation: policy.generation,
            ..Output::default()
        }
    }

    /// The policy that refuses all plaintext is there as soon as anybody may refer to it.
    pub(super) fn strict(&mut self) -> Output {
        let is_wanted = self.world.of_kind(Kind::PeerAuthentication).next().is_some();
        let policy = is_wanted.then(|| strict(&self.world.settings));
        Output { policies: policy.into_iter().collect(), ..Output::default() }
    }

    /// The policies that something with these labels refers to.
    pub(super) fn policies_for(&mut self, id: &Key, labels: &Labels) -> Vec<Arc<str>> {
        let (world, settings) = (self.world, &self.world.settings);
        let selecting = world.selecting.selecting(&id.namespace, labels);
        let authorizations = selecting.iter().filter_map(|id| world.authorization(id));
        let mut keys: Vec<Arc<str>> = authorizations.map(|policy| policy.key().clone()).collect();
        keys.sort_unstable();
        let selected = selecting.iter().filter_map(|id| world.authentication(id));
        let governing: Vec<&PeerAuthentication> = self.broad(&id.namespace).chain(selected).collect();
        let plaintext = Levels::of(settings, &governing).key(settings);
        keys.into_iter().chain(plaintext).map(|key| self.names.text(&key)).collect()
    }

    /// What counts of those that govern all of a namespace.
    fn above(&self, namespace: &str) -> Levels<'a> {
        let governing: Vec<&PeerAuthentication> = self.broad(namespace).collect();
        Levels::of(&self.world.settings, &governing)
    }

    fn broad(&self, namespace: &str) -> impl Iterator<Item = &'a PeerAuthentication> {
        let world = self.world;
        world.census.broad("").chain(world.census.broad(namespace)).filter_map(|id| world.authentication(id))
    }

    /// An older one of those that govern the same as this one, when it governs everything somewhere.
    fn overruling(&self, id: &Id, says: &PeerAuthentication) -> Option<&'a PeerAuthentication> {
        let levels = self.above(&id.namespace);
        let oldest = match says.level(&self.world.settings) {
            Level::Mesh => levels.mesh,
            Level::Namespace => levels.namespace,
            Level::Workload => None,
        };
        oldest.filter(|oldest| *oldest != says)
    }

    fn governed_by(&self, id: &Id) -> Governed {
        let census = &self.world.census;
        match self.world.get(id).and_then(|facts: &Facts| self.world.governs(id, facts)) {
            Some(Governs::All(place)) if place.is_empty() => census.of_mesh(),
            Some(Governs::All(place)) => census.of_namespace(&place),
            Some(Governs::Selected(..)) => census.of_selecting(id),
            None => Governed::default(),
        }
    }
}
