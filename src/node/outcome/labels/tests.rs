use std::sync::Arc;

use culvert_core::hbone::Baggage;
use culvert_core::service::Service;

use super::*;
use crate::proxy::PodInfo;

/// What is known of a connection that was begun.
fn facts(know: impl FnOnce(&mut Facts)) -> Facts {
    let pod = PodInfo { name: "pod".into(), namespace: "ns".into(), service_account: "sa".into() };
    let book = crate::ledger::OfNode::default().begin(pod, None).book().clone();
    let address = ([10, 0, 0, 1], 80).into();
    let mut facts = book.begin(Direction::Outbound, address, address).facts().clone();
    know(&mut facts);
    facts
}

fn told(of: &Baggage) -> Arc<Workload> {
    of.workload().into()
}

/// A workload the mesh knows.
fn known(of: &Baggage) -> Arc<Workload> {
    Workload { uid: "cluster//Pod/ns/pod".into(), ..of.workload() }.into()
}

fn shop() -> Baggage {
    Baggage {
        cluster: "c1".into(),
        namespace: "team".into(),
        workload_name: "shop-deploy".into(),
        canonical_name: "shop".into(),
        canonical_revision: "v1".into(),
        ..Baggage::default()
    }
}

fn named(name: &str) -> Baggage {
    Baggage { canonical_name: name.into(), ..shop() }
}

fn party(workload: Arc<Workload>, principal: &str) -> Party {
    Party { workload: Some(workload), identity: Some(principal.parse().unwrap()) }
}

fn text(facts: &Facts, shown: Labels) -> Vec<String> {
    let principals = [&facts.from, &facts.to].map(|party| party.identity.as_ref().map(ToString::to_string));
    let ends = [End::of(&facts.from, &principals[0], true), End::of(&facts.to, &principals[1], true)];
    let labels = traffic((Direction::Inbound, Flag::Deny), facts, &ends, shown);
    labels.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
}

fn called() -> Facts {
    facts(|facts| {
        facts.from = party(told(&shop()), "spiffe://cluster.local/ns/team/sa/shop");
        facts.to = party(
            known(&Baggage { namespace: String::new(), ..named("till") }),
            "spiffe://cluster.local/ns/x/sa/till",
        );
        let service = Service {
            name: "till".into(),
            namespace: "x".into(),
            hostname: "till.x.svc".into(),
            ..Service::default()
        };
        facts.service = Some(Arc::new(service));
        facts.authority = Some("10.0.0.1:80".into());
    })
}

#[test]
fn all_labels_are_told_in_the_order_dashboards_and_people_know() {
    let expected = "reporter=destination source_workload=shop-deploy source_canonical_service=shop \
        source_canonical_revision=v1 source_workload_namespace=team \
        source_principal=spiffe://cluster.local/ns/team/sa/shop source_app=shop source_version=v1 source_cluster=c1 \
        destination_service=till.x.svc destination_service_namespace=x destination_service_name=till \
        destination_workload=shop-deploy destination_canonical_service=till destination_canonical_revision=v1 \
        destination_workload_namespace=unknown destination_principal=spiffe://cluster.local/ns/x/sa/till \
        destination_app=till destination_version=v1 destination_cluster=c1 request_protocol=tcp response_flags=DENY \
        connection_security_policy=mutual_tls";
    assert_eq!(text(&called(), Labels::Full).join(" "), expected);
    let nothing = text(&facts(|_| ()), Labels::Full);
    assert_eq!(nothing.len(), 23);
    let unknown = nothing.iter().filter(|label| label.ends_with("=unknown")).count();
    assert_eq!(unknown, 20, "{nothing:?}");
}

#[test]
fn places_are_told_together_or_not_at_all() {
    let told_of = |region: &str, zone: &str| {
        let mut facts = called();
        facts.to.workload = Some(known(&Baggage { region: region.into(), zone: zone.into(), ..shop() }));
        text(&facts, Labels::Full).split_off(23)
    };
    assert_eq!(told_of("", ""), [""; 0]);
    let [from, zone] = ["source_region=unknown", "source_zone=unknown"];
    assert_eq!(told_of("r", ""), [from, zone, "destination_region=r", "destination_zone=unknown"]);
    assert_eq!(told_of("r", "z"), [from, zone, "destination_region=r", "destination_zone=z"]);
}

#[test]
fn fewer_labels_make_fewer_series() {
    let mut placed = called();
    placed.from.workload = Some(known(&Baggage { region: "r".into(), ..shop() }));
    assert_eq!(text(&placed, Labels::Full).len(), 27);
    let service = text(&placed, Labels::Service);
    assert_eq!(service.len(), 23);
    let unknown: Vec<_> = service.iter().filter_map(|label| label.strip_suffix("=unknown")).collect();
    let mut expected = OF_WORKLOADS.to_vec();
    expected.push("destination_workload_namespace");
    assert_eq!((unknown.len(), expected.iter().all(|name| unknown.contains(name))), (7, true), "{unknown:?}");
    assert_eq!(
        text(&placed, Labels::Minimal).join(" "),
        "reporter=destination source_canonical_service=shop source_workload_namespace=team \
         destination_service=till.x.svc destination_service_namespace=x destination_service_name=till \
         destination_canonical_service=till destination_workload_namespace=unknown response_flags=DENY \
         connection_security_policy=mutual_tls"
    );
    for (text, labels) in [("full", Labels::Full), ("service", Labels::Service), ("minimal", Labels::Minimal)]
    {
        assert_eq!(Labels::parse(text), Ok(labels));
    }
    assert!(Labels::parse("some").is_err());
}

#[test]
fn what_peers_say_of_themselves_makes_only_so_many_series_and_none_before_they_are_let_in() {
    let source = |name: &str, counts| {
        let facts = facts(|facts| facts.from.workload = Some(told(&named(name))));
        let found = counters(Direction::Inbound, &facts, Flag::None, Hearsay { counts });
        let found = format!("{found:?}");
        let (_, rest) = found.split_once("source_app=\"").unwrap();
        rest.split('"').next().unwrap().to_owned()
    };
    assert_eq!(source("refused", false), UNKNOWN);
    assert_eq!(source("shop", true), "shop");
    let all: std::collections::BTreeSet<String> =
        (0..5000).map(|nth| source(&format!("shop {nth}"), true)).collect();
    assert!(all.len() <= 1001 && all.contains(UNKNOWN), "{} names", all.len());
    assert_eq!(source("shop", true), "shop", "who has a series keeps it");
    // The mesh is not crowded out.
    let facts = facts(|facts| facts.from.workload = Some(known(&named("of the mesh"))));
    let ours = counters(Direction::Inbound, &facts, Flag::None, Hearsay { counts: true });
    assert!(format!("{ours:?}").contains("source_app=\"of the mesh\""));
}

#[test]
fn who_is_known_to_the_mesh_is_called_what_the_mesh_calls_them_also_before_they_are_let_in() {
    let facts = facts(|facts| facts.from.workload = Some(known(&named("known"))));
    let found = counters(Direction::Inbound, &facts, Flag::Deny, Hearsay { counts: false });
    let found = format!("{found:?}");
    assert!(found.contains("source_app=\"known\"") && found.contains("response_flags=\"DENY\""), "{found}");
}
