//! How an endpoint is chosen: by `internalTrafficPolicy` and traffic distribution.
//!
//! Goes in: what a Service or `ServiceEntry` and its namespace say. Comes out: preferences. Deliberately absent: choosing.

use culvert_core::service::{BalanceMode, HealthPolicy, LoadBalancer, Preference};

use crate::Labels;

/// The annotation by which Services, `ServiceEntries` and Namespaces say what is near.
const DISTRIBUTION: &str = "networking.istio.io/traffic-distribution";

/// What is said about how an endpoint is to be chosen.
#[derive(Debug, Clone, Copy)]
pub struct Wishes<'a> {
    /// `spec.internalTrafficPolicy`.
    pub internal_traffic_policy: Option<&'a str>,
    /// `spec.trafficDistribution`.
    pub traffic_distribution: Option<&'a str>,
    /// The annotations of the object.
    pub annotations: &'a Labels,
    /// The annotations of its namespace, if that is known.
    pub namespace_annotations: Option<&'a Labels>,
    /// `spec.publishNotReadyAddresses`.
    pub publish_not_ready: bool,
}

/// Gives how an endpoint is chosen.
///
/// Traffic that has to stay on its node stays there, whatever else is said. A distribution that is not known is none: what is said
/// further away (in the annotation, for the namespace) does not count any more.
#[must_use]
pub fn load_balancer(wishes: &Wishes<'_>) -> LoadBalancer {
    let (preferences, mode) = match wishes.internal_traffic_policy {
        Some("Local") => (vec![Preference::Node], BalanceMode::Strict),
        Some(_) | None => distribution(wishes),
    };
    let health_policy =
        if wishes.publish_not_ready { HealthPolicy::AllowAll } else { HealthPolicy::OnlyHealthy };
    LoadBalancer { preferences, mode, health_policy }
}

fn distribution(wishes: &Wishes<'_>) -> (Vec<Preference>, BalanceMode) {
    use Preference::{Network, Node, Region, Subzone, Zone};
    let annotation = || wishes.annotations.get(DISTRIBUTION);
    let of_namespace = || wishes.namespace_annotations?.get(DISTRIBUTION);
    let said = wishes.traffic_distribution.or_else(annotation).or_else(of_namespace).unwrap_or_default();
    let is = |known: &str| said.eq_ignore_ascii_case(known);
    if is("PreferSameZone") || is("PreferClose") {
        (vec![Network, Region, Zone], BalanceMode::Failover)
    } else if is("PreferSameNode") {
        (vec![Network, Region, Zone, Subzone, Node], BalanceMode::Failover)
    } else {
        (Vec::new(), BalanceMode::Standard)
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
        for (publish_not_ready, health_policy) in
            [(false, HealthPolicy::OnlyHealthy), (true, HealthPolicy::AllowAll)]
        {
            let chosen = load_balancer(&Wishes {
                internal_traffic_policy: policy,
                traffic_distribution: spec,
                annotations: &object,
                namespace_annotations: Some(&namespace),
                publish_not_ready,
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
