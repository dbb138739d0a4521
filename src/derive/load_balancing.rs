//! How an endpoint is chosen: by `internalTrafficPolicy` and traffic distribution.
//!
//! Goes in: what a Service or `ServiceEntry` and its namespace say. Comes out: preferences. Deliberately absent: choosing.

use culvert_core::service::{BalanceMode, HealthPolicy, LoadBalancer, Preference};

use crate::Labels;

/// The annotation by which Services, `ServiceEntries` and Namespaces say what is preferred.
pub const DISTRIBUTION: &str = "networking.istio.io/traffic-distribution";

/// Which endpoints are preferred.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Distribution {
    /// None in particular.
    Any,
    /// Those in the zone.
    Zone,
    /// Those on the node.
    Node,
}

/// What is said about how an endpoint is to be chosen.
#[derive(Debug, Clone, Copy)]
pub struct Wishes<'a> {
    /// Whether traffic has to stay on its node (`spec.internalTrafficPolicy`).
    pub stays_on_node: bool,
    /// What the object says in a field of its own (`spec.trafficDistribution`).
    pub own: Option<Distribution>,
    /// The annotations of the object.
    pub annotations: &'a Labels,
    /// What its namespace says.
    pub of_namespace: Option<Distribution>,
    /// Whether endpoints count that are not ready (`spec.publishNotReadyAddresses`).
    pub counts_unready: bool,
}

/// Gives how an endpoint is chosen.
///
/// Traffic that has to stay on its node stays there, whatever else is said. A distribution that is not known is none: what is said
/// further away (in the annotation, for the namespace) does not count any more.
#[must_use]
pub fn load_balancer(wishes: &Wishes<'_>) -> LoadBalancer {
    use Preference::{Network, Node, Region, Subzone, Zone};
    let annotated = || Distribution::of(wishes.annotations);
    let said = wishes.own.or_else(annotated).or(wishes.of_namespace).unwrap_or(Distribution::Any);
    let (preferences, mode) = match said {
        _ if wishes.stays_on_node => (vec![Node], BalanceMode::Strict),
        Distribution::Any => (Vec::new(), BalanceMode::Standard),
        Distribution::Zone => (vec![Network, Region, Zone], BalanceMode::Failover),
        Distribution::Node => (vec![Network, Region, Zone, Subzone, Node], BalanceMode::Failover),
    };
    let health_policy =
        if wishes.counts_unready { HealthPolicy::AllowAll } else { HealthPolicy::OnlyHealthy };
    LoadBalancer { preferences, mode, health_policy }
}

impl Distribution {
    /// Reads what is preferred; what nobody here knows is no preference.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        let is = |known: &str| text.eq_ignore_ascii_case(known);
        if is("PreferSameZone") || is("PreferClose") {
            Self::Zone
        } else if is("PreferSameNode") {
            Self::Node
        } else {
            Self::Any
        }
    }

    /// Reads the annotation that says it.
    #[must_use]
    pub fn of(annotations: &Labels) -> Option<Self> {
        annotations.get(DISTRIBUTION).map(Self::from_text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn annotated(value: Option<&str>) -> Labels {
        value.map(|value| (DISTRIBUTION, value)).into_iter().collect()
    }

    /// `said`: policy, distribution of the spec, annotation, annotation of the namespace.
    fn check(said: [Option<&str>; 4], expected: (&[Preference], BalanceMode)) {
        let [policy, spec, object, namespace] = said;
        let (object, namespace) = (annotated(object), annotated(namespace));
        for (counts_unready, health_policy) in
            [(false, HealthPolicy::OnlyHealthy), (true, HealthPolicy::AllowAll)]
        {
            let chosen = load_balancer(&Wishes {
                stays_on_node: policy == Some("Local"),
                own: spec.map(Distribution::from_text),
                annotations: &object,
                of_namespace: Distribution::of(&namespace),
                counts_unready,
            });
            let (preferences, mode) = expected;
            let expected = LoadBalancer { preferences: preferences.to_vec(), mode, health_policy };
            assert_eq!(chosen, expected, "{said:?}");
        }
    }

    #[test]
    fn who_is_nearest_to_the_object_is_heard_first() {
        use Preference::{Network, Node, Region, Subzone, Zone};
        let zone = (&[Network, Region, Zone][..], BalanceMode::Failover);
        let node = (&[Network, Region, Zone, Subzone, Node][..], BalanceMode::Failover);
        let local = (&[Node][..], BalanceMode::Strict);
        let any = (&[][..], BalanceMode::Standard);
        for (said, expected) in [
            ([None, None, None, None], any),
            ([Some("Cluster"), None, None, None], any),
            ([Some("Local"), None, None, None], local),
            ([Some("Local"), Some("PreferSameZone"), Some("PreferSameNode"), Some("PreferClose")], local),
            ([None, Some("PreferSameZone"), None, None], zone),
            ([None, Some("PreferClose"), Some("PreferSameNode"), Some("PreferSameNode")], zone),
            ([Some("Cluster"), Some("PreferSameNode"), Some("PreferClose"), None], node),
            ([None, None, Some("PreferSameNode"), Some("PreferClose")], node),
            ([None, None, Some("preferclose"), None], zone),
            ([None, None, None, Some("PREFERSAMEZONE")], zone),
            // What is not known stops the search.
            ([None, Some("PreferSameRack"), Some("PreferClose"), Some("PreferClose")], any),
            ([None, None, Some("Any"), Some("PreferClose")], any),
            ([None, None, Some(""), Some("PreferClose")], any),
        ] {
            check(said, expected);
        }
    }
}
