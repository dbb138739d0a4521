//! Who asks for addresses has the policies that go with them: before them, for as long as it has them, and no others.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::*;

const NAMESPACES: [&str; 4] = ["n0", "n1", "n2", "root"];

/// A workload of a namespace, in a service of it, with policies of the root namespace if it refers to one.
fn pod(namespace: &str, number: u8, node: &str, refers: bool) -> Change {
    let service = format!("{namespace}/s").into();
    let template = Template {
        namespace: namespace.into(),
        services: [(service, [].into_iter().collect())].into_iter().collect(),
        authorization_policies: refers.then(|| "root/selector".into()).into_iter().collect(),
        ..Template::default()
    };
    Change::Put(Arc::new(Entry::workload(&Workload {
        uid: format!("pod/{namespace}/{number}").into(),
        place: Arc::new(Place { node: node.into(), ..Place::default() }),
        template: template.into(),
        ..Workload::default()
    })))
}

fn policy_of(namespace: &str, name: &str, scope: Scope, dry_run: bool) -> Change {
    let policy =
        Policy::unusable(format!("{namespace}/{name}").into(), namespace.into(), scope, "why".into());
    Change::Put(Arc::new(Entry::policy(&Policy { dry_run, ..policy })))
}

fn service_of(namespace: &str) -> Change {
    let service = Service { namespace: namespace.into(), hostname: "s".into(), ..Service::default() };
    Change::Put(Arc::new(Entry::service(&service)))
}

/// The namespaces whose policies matter to a workload that is there.
fn namespaces(catalog: &Catalog, name: &str) -> BTreeSet<Arc<str>> {
    let entry = catalog.find(ADDRESSES, name);
    entry
        .and_then(|entry| entry.place())
        .into_iter()
        .flat_map(|place| place.namespaces.iter().cloned())
        .collect()
}

/// The policies of these namespaces, and those of everything.
fn policies(catalog: &Catalog, namespaces: &BTreeSet<Arc<str>>) -> BTreeMap<String, String> {
    let wanted = |entry: &Entry| {
        let (namespace, name) = entry.name.split_once('/').unwrap();
        name == "global" || namespaces.contains(namespace)
    };
    let all = catalog.all(POLICIES).map(|(_, entry)| entry).filter(|entry| wanted(entry));
    all.map(|entry| (entry.name.to_string(), entry.version.to_string())).collect()
}

fn is_pod(name: &str) -> bool {
    name.starts_with("pod/")
}

/// A client that looks after each message whether it is safe.
struct Observer {
    client: Client,
    seed: u64,
}

impl Observer {
    /// Takes at most this many responses.
    fn receive(&mut self, catalog: &Catalog, most: usize) {
        for _ in 0..most {
            let Some(response) = self.client.session.respond(catalog) else { return };
            let has = |of: Collection| self.client.has.get(&of).cloned().unwrap_or_default();
            let (held, policies_held) = (has(ADDRESSES), has(POLICIES));
            if response.type_url == ADDRESSES.url() {
                for pod in response.resources.iter().map(|it| &it.name).filter(|name| is_pod(name)) {
                    for (policy, version) in policies(catalog, &namespaces(catalog, pod)) {
                        let has = policies_held.get(&policy);
                        assert_eq!(has, Some(&version), "seed {}: {pod} comes before {policy}", self.seed);
                    }
                }
            } else {
                let gone =
                    response.removed_resources.iter().filter(|name| catalog.find(POLICIES, name).is_some());
                for policy in gone {
                    let namespace = policy.split_once('/').unwrap().0;
                    let governed = |pod: &&String| pod.split('/').nth(1) == Some(namespace);
                    let left = held.keys().filter(|name| is_pod(name)).find(governed);
                    assert_eq!(left, None, "seed {}: {policy} goes before its last workload", self.seed);
                }
            }
            self.client.believe(&response);
        }
    }

    fn settled(&mut self, catalog: &Catalog) {
        self.receive(catalog, usize::MAX);
        let held = self.client.has.get(&ADDRESSES).cloned().unwrap_or_default();
        let matter = held.keys().flat_map(|name| namespaces(catalog, name)).collect();
        let has = self.client.has.get(&POLICIES).cloned().unwrap_or_default();
        assert_eq!(has, policies(catalog, &matter), "seed {}, with {:?}", self.seed, held.keys());
    }

    fn reconnect(&mut self, catalog: &Catalog) {
        let client = &mut self.client;
        client.session = Session::new(catalog, "a", &Reach::Everything);
        for of in [ADDRESSES, POLICIES] {
            let star = if of == ADDRESSES { vec!["*".to_owned()] } else { vec![] };
            client.request(
                catalog,
                DeltaDiscoveryRequest {
                    type_url: of.url().to_owned(),
                    resource_names_subscribe: star.clone(),
                    resource_names_unsubscribe: star,
                    initial_resource_versions: client.has.get(&of).cloned().unwrap_or_default(),
                    ..DeltaDiscoveryRequest::default()
                },
            );
        }
    }
}

fn change(random: &mut StdRng) -> Change {
    let namespace = NAMESPACES[random.random_range(0..4)];
    let number = random.random_range(0..3);
    match random.random_range(0..8) {
        0 => gone(&format!("pod/{namespace}/{number}")),
        1 => Change::Remove(POLICIES, format!("{namespace}/p").into()),
        2 => policy_of(namespace, "p", Scope::Namespace, random.random()),
        3 => policy_of("root", "global", Scope::Global, random.random()),
        4 => policy_of("root", "selector", Scope::WorkloadSelector, random.random()),
        5 => service_of(namespace),
        _ => {
            let node = ["a", "b", "b", "b"][random.random_range(0..4)];
            pod(namespace, number, node, random.random_range(0..4) == 0)
        }
    }
}

#[test]
fn policies_come_before_workloads_and_go_after_them() {
    for seed in 0..400 {
        let mut random = StdRng::seed_from_u64(seed);
        let mut catalog = catalog([]);
        catalog.apply((0..12).map(|_| change(&mut random)).collect::<Vec<_>>());
        let mut client = Client::on_demand(&catalog);
        client.send(&catalog, POLICIES, &[], &[]);
        let mut observer = Observer { client, seed };
        for _ in 0..80 {
            let namespace = NAMESPACES[random.random_range(0..4)];
            let key = match random.random_range(0..2) {
                0 => format!("{namespace}/s"),
                _ => format!("pod/{namespace}/{}", random.random_range(0..3)),
            };
            match random.random_range(0..12) {
                0 => observer.reconnect(&catalog),
                1 | 2 => observer.client.send(&catalog, ADDRESSES, &[&key], &[]),
                3..6 => observer.receive(&catalog, random.random_range(0..3)),
                6 => observer.settled(&catalog),
                _ => catalog.apply([change(&mut random)]),
            }
        }
        observer.settled(&catalog);
    }
}

#[test]
fn policies_are_those_of_what_is_known() {
    let mut catalog = catalog([
        pod("n0", 1, "a", false),
        pod("n1", 1, "b", false),
        pod("n2", 1, "b", true),
        service_of("n1"),
        policy_of("n0", "p", Scope::Namespace, false),
        policy_of("n1", "p", Scope::Namespace, false),
        policy_of("n2", "p", Scope::WorkloadSelector, false),
        policy_of("root", "global", Scope::Global, false),
        policy_of("root", "selector", Scope::WorkloadSelector, false),
    ]);
    let mut client = Client::on_demand(&catalog);
    client.send(&catalog, POLICIES, &[], &[]);
    assert_eq!(client.heard(&catalog), ["+n0/p +root/global", "+pod/n0/1"]);
    client.send(&catalog, ADDRESSES, &["n1/s"], &[]);
    assert_eq!(client.heard(&catalog), ["+n1/p", "+n1/s +pod/n1/1"]);
    client.send(&catalog, ADDRESSES, &["pod/n2/1"], &[]);
    assert_eq!(client.heard(&catalog), ["+n2/p +root/selector", "+pod/n2/1"], "and what it refers to");
    catalog
        .apply([policy_of("n1", "p", Scope::Namespace, true), policy_of("n3", "p", Scope::Namespace, false)]);
    assert_eq!(client.heard(&catalog), ["+n1/p"]);
    catalog.apply([gone("pod/n2/1")]);
    assert_eq!(client.heard(&catalog), ["-pod/n2/1", "-n2/p -root/selector"]);
    catalog.apply([pod("n2", 2, "a", false)]);
    assert_eq!(client.heard(&catalog), ["+n2/p", "+pod/n2/2"]);
    client.send(&catalog, ADDRESSES, &["n1/s"], &["pod/n2/2"]);
    client.send(&catalog, ADDRESSES, &["*"], &[]);
    assert_eq!(client.heard(&catalog).first().unwrap(), "+root/selector +n3/p", "everything again");
}

#[test]
fn who_has_everything_has_all_policies_whatever_comes_first() {
    let catalog = catalog([pod("n0", 1, "a", false), policy_of("n1", "p", Scope::Namespace, false)]);
    for order in [[ADDRESSES, POLICIES], [POLICIES, ADDRESSES]] {
        let mut client = Client::new(&catalog);
        let mut said = Vec::new();
        for of in order {
            client.send(&catalog, of, &[], &[]);
            said.extend(client.heard(&catalog));
        }
        said.sort();
        assert_eq!(said, ["+n1/p", "+pod/n0/1"]);
    }
}

#[test]
fn the_proxy_of_one_workload_may_ask_for_so_many_names() {
    let catalog = Catalog::default();
    let mut session = Session::new(&catalog, "a", &near());
    let names = |count: usize| DeltaDiscoveryRequest {
        type_url: ADDRESSES.url().to_owned(),
        resource_names_subscribe: (0..count).map(|n| format!("ns/{n}")).collect(),
        ..DeltaDiscoveryRequest::default()
    };
    assert_eq!(session.take(&catalog, &names(1000)).unwrap(), None);
    let refused = session.take(&catalog, &names(1001)).unwrap_err();
    assert_eq!(refused, Error::Names { most: 1000 });
}
