//! What nodes make of a waypoint that cannot be had.

use culvert_core::refusal::Refusal;
use culvert_core::route::{self, Newcomer, Route};
use culvert_core::service::Service;
use culvert_core::store::{Locality, Resource, Store};
use culvert_core::workload::{Memberships, Protocol, Template, Workload};

use super::*;

const USE: &str = "istio.io/use-waypoint";

fn workload(uid: &str, ip: &str, template: Template) -> Workload {
    let addresses = [ip.parse().unwrap()].into_iter().collect();
    let template = Template { namespace: "shop".into(), service_account: "default".into(), ..template };
    Workload { uid: uid.into(), addresses, template: template.into(), ..Workload::default() }
}

fn service(name: &str, vip: &str, port: u16, resolution: &Resolution) -> Service {
    Service {
        name: name.into(),
        namespace: "shop".into(),
        hostname: format!("{name}.shop.svc.cluster.local").into(),
        vips: vec![format!("/{vip}").parse().unwrap()],
        ports: [(port, port)].into_iter().collect(),
        waypoint: resolution.waypoint.clone(),
        weighted_waypoints: resolution.weighted.clone(),
        ..Service::default()
    }
}

/// A node with a service behind what was found, and the service and pod that the waypoint would have.
fn route(found: &Resolution, to: &str) -> Result<Route, Refusal> {
    let member = |name: &str, port: u16| -> Memberships {
        let key = format!("shop/{name}.shop.svc.cluster.local").into();
        [(key, [(port, port)].into_iter().collect())].into_iter().collect()
    };
    let behind =
        Template { services: member("web", 80), waypoint: found.waypoint.clone(), ..Template::default() };
    let waypoint =
        Template { services: member("wp", 15008), protocol: Protocol::Hbone, ..Template::default() };
    let client = workload("client", "10.0.0.9", Template::default());
    let mut store = Store::new(Locality::default());
    store.insert(Resource::Workload(client.clone()));
    store.insert(Resource::Workload(workload("web", "10.0.0.1", behind)));
    store.insert(Resource::Workload(workload("wp", "10.0.0.2", waypoint)));
    store.insert(Resource::Service(service("web", "10.9.0.1", 80, found)));
    store.insert(Resource::Service(service("wp", "10.9.0.2", 15008, &Resolution::default())));
    route::outbound(&store.snapshot(), &client, to.parse().unwrap(), 0, &Newcomer)
}

fn resolution(waypoint: &Value, role: Role, unready: Unready) -> Resolution {
    let world = Small::default().gateway("shop/wp", waypoint);
    world.resolve_with(role, &meta("shop", "web", &[(USE, "wp")], &[]), unready)
}

#[test]
fn a_waypoint_that_may_not_be_used_is_refused_though_its_service_is_there() {
    let all = ("istio.io/waypoint-for", "all");
    let nobody = json!({"labels": {all.0: all.1}, "allowed": {"from": "None"}});
    let unready = json!({"labels": {all.0: all.1}, "addresses": []});
    let other = json!({"labels": {all.0: "none"}});
    for (gateway, why) in
        [(&nobody, "may not be used"), (&unready, "is not ready"), (&other, "is for other traffic")]
    {
        for (role, to) in [(Role::Service, "10.9.0.1:80"), (Role::Pod, "10.0.0.1:80")] {
            let refusal = route(&resolution(gateway, role, Unready::Refuse), to).unwrap_err();
            assert!(matches!(refusal, Refusal::UnknownWaypoint { .. }), "{refusal:?}");
            let text = refusal.to_string();
            let named = format!("shop/wp.shop.svc.cluster.local ({why}) port 15008");
            assert!(text.contains(&named), "{text}");
            let past = route(&resolution(gateway, role, Unready::Bypass), to).unwrap();
            assert!(matches!(past, Route::Passthrough { .. }), "{past:?}");
        }
    }
    // The node of this test does find a waypoint that may be used.
    for (role, to) in [(Role::Service, "10.9.0.1:80"), (Role::Pod, "10.0.0.1:80")] {
        let found =
            route(&resolution(&json!({"labels": {all.0: all.1}}), role, Unready::Refuse), to).unwrap();
        assert!(matches!(&found, Route::Tunnel { workload, .. } if &*workload.uid == "wp"), "{found:?}");
    }
}

#[test]
fn a_condition_says_what_happens_and_what_to_do() {
    let message =
        |waypoint: &Value, unready| resolution(waypoint, Role::Service, unready).condition.unwrap().message;
    assert_eq!(
        message(&json!({"addresses": []}), Unready::Refuse),
        "waypoint shop/wp is not ready: its Gateway has no address in its status; its traffic is refused. See the status of the \
         Gateway shop/wp and the log of who runs its class; or change the label istio.io/use-waypoint of Service shop/web"
    );
    assert_eq!(
        message(&json!({"allowed": {"from": "None"}}), Unready::Bypass),
        "waypoint shop/wp may not be used from namespace shop: allowedRoutes of its listener say so; traffic goes past it, and the \
         waypoint's policies are not applied. Let the namespace in at spec.listeners[].allowedRoutes of the Gateway shop/wp; or \
         change the label istio.io/use-waypoint of Service shop/web"
    );
    let inherited = Small::default().namespace("shop", &[(USE, "gone")], &[]);
    let condition = inherited.resolve(Role::Service, &meta("shop", "web", &[], &[])).condition.unwrap();
    assert_eq!(
        condition.message,
        "waypoint shop/gone does not exist; its traffic is refused. Create the Gateway shop/gone; or change the label \
         istio.io/use-waypoint of Namespace shop"
    );
    let canary = Small::default().gateway("shop/wp", &json!({}));
    let labels = [(USE, "wp"), ("istio.io/use-waypoint-canary", "wp2")];
    let annotations = [("istio.io/use-waypoint-canary-weight", "5")];
    let condition =
        canary.resolve(Role::Service, &meta("shop", "web", &labels, &annotations)).condition.unwrap();
    assert_eq!(
        condition.message,
        "behind waypoint shop/wp alone: its canary cannot be had: waypoint shop/wp2 does not exist"
    );
}
