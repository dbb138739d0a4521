//! The rules for names, written down a second time with no thought for speed, beside the real thing under random meshes.

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::address::NetworkAddress;
use crate::mesh_file::Mesh;
use crate::service::{Service, Visibility};
use crate::workload::{Health, Memberships, Name, PortMap, Template};

const DOMAIN: &str = "cluster.local";

/// What answers are expected from.
struct Model<'a> {
    mesh: &'a Snapshot,
    client: &'a Workload,
}

impl Model<'_> {
    fn search_domains(&self) -> [String; 3] {
        [format!("{}.svc.{DOMAIN}", self.client.namespace), format!("svc.{DOMAIN}"), DOMAIN.to_owned()]
    }

    /// Full names `name` may mean, and whether a search domain is gone.
    fn meanings(&self, name: &str) -> Vec<(String, bool)> {
        let mut short = vec![(name.to_owned(), false)];
        for domain in self.search_domains() {
            if let Some(rest) = name.strip_suffix(&format!(".{domain}")) {
                short.push((rest.to_owned(), true));
            }
        }
        let mut all = Vec::new();
        for (name, stripped) in short {
            all.push((name.clone(), stripped));
            all.extend(self.kubernetes(&name).into_iter().map(|full| (full, stripped)));
        }
        all
    }

    fn kubernetes(&self, name: &str) -> Vec<String> {
        let here = &self.client.namespace;
        match name.split('.').collect::<Vec<_>>()[..] {
            [a] => vec![format!("{a}.{here}.svc.{DOMAIN}")],
            [a, b] => vec![format!("{a}.{b}.svc.{DOMAIN}"), format!("{a}.{b}.{here}.svc.{DOMAIN}")],
            [a, b, "svc"] => vec![format!("{a}.{b}.svc.{DOMAIN}"), format!("{a}.{b}.svc.svc.{DOMAIN}")],
            [a, b, c] => vec![format!("{a}.{b}.{c}.svc.{DOMAIN}")],
            [a, b, c, "svc"] => vec![format!("{a}.{b}.{c}.svc.{DOMAIN}")],
            _ => Vec::new(),
        }
    }

    /// The service meant by a hostname as it is stored.
    fn stored(&self, hostname: &str) -> Option<&Service> {
        let mut sharing: Vec<&Service> = self.mesh.services().map(|it| &**it).collect();
        sharing.retain(|it| {
            let hidden = it.visibility == Visibility::Namespace && it.namespace != self.client.namespace;
            let headless = it.vips.is_empty() && hostname.ends_with(&format!(".svc.{DOMAIN}"));
            let here = it.vips.iter().any(|vip| vip.network == self.client.network);
            *it.hostname == *hostname && !hidden && (headless || here)
        });
        sharing.sort_by_key(|it| it.key());
        let own = sharing.iter().find(|it| it.namespace == self.client.namespace);
        let preferred = |it: &&&Service| &*it.namespace == "preferred";
        let mut canonical = sharing.iter().filter(|it| it.canonical);
        let canonical = canonical.clone().find(preferred).or_else(|| canonical.next());
        let found = own.or(canonical).or_else(|| sharing.iter().find(preferred)).or(sharing.first());
        found.copied()
    }

    fn endpoints(&self, service: &Service, pod: Option<&str>) -> Vec<IpAddr> {
        let endpoints = self.mesh.workloads().filter(|it| {
            let usable = it.status == Health::Healthy && it.network == self.client.network;
            usable && it.services.get(&service.key()).is_some() && pod.is_none_or(|pod| it.name() == pod)
        });
        endpoints.flat_map(|it| it.addresses.iter().copied()).collect()
    }

    fn addresses(&self, service: &Service) -> Vec<IpAddr> {
        if service.vips.is_empty() {
            return self.endpoints(service, None);
        }
        let here = service.vips.iter().filter(|vip| vip.network == self.client.network);
        here.map(|vip| vip.ip).collect()
    }

    fn by_name(&self, full: &str) -> Option<Vec<IpAddr>> {
        if let Some(service) = self.stored(full) {
            return Some(self.addresses(service));
        }
        let (pod, host) = full.split_once('.')?;
        let service = self.stored(host).filter(|it| it.vips.is_empty())?;
        Some(self.endpoints(service, Some(pod))).filter(|addresses| !addresses.is_empty())
    }

    fn by_wildcard(&self, full: &str) -> Option<Vec<IpAddr>> {
        let mut ends: Vec<&str> =
            self.mesh.services().filter_map(|it| it.hostname.strip_prefix("*.")).collect();
        ends.retain(|end| full.ends_with(&format!(".{end}")) && self.may_stand_for(end, full));
        ends.sort_by_key(|end| std::cmp::Reverse(end.len()));
        let service = ends.iter().find_map(|end| self.stored(&format!("*.{end}")))?;
        Some(self.addresses(service))
    }

    fn may_stand_for(&self, end: &str, full: &str) -> bool {
        self.search_domains().iter().all(|domain| match full.strip_suffix(&format!(".{domain}")) {
            Some(rest) => end.ends_with(&format!(".{domain}")) || (end == domain && !rest.contains('.')),
            None => true,
        })
    }

    /// The answer in the form of [`short`].
    fn answer(&self, name: &str) -> String {
        let meanings = self.meanings(name);
        let first = |look: &dyn Fn(&str) -> Option<Vec<IpAddr>>| {
            meanings.iter().find_map(|(full, stripped)| Some((full, stripped, look(full)?)))
        };
        let found = first(&|full| self.by_name(full)).or_else(|| first(&|full| self.by_wildcard(full)));
        let Some((full, stripped, addresses)) = found else { return "not ours".to_owned() };
        if addresses.is_empty() {
            return "nothing".to_owned();
        }
        let texts: BTreeSet<String> = addresses.iter().map(ToString::to_string).collect();
        let alias = if *stripped { format!("{full}: ") } else { String::new() };
        alias + &Vec::from_iter(texts).join(" ")
    }
}

const NAMESPACES: [&str; 4] = ["ns1", "ns2", "preferred", "other"];
const NETWORKS: [&str; 2] = ["nw1", "nw2"];
const LABELS: [&str; 8] = ["a", "b", "ns1", "ns2", "svc", "cluster", "local", "com"];
const ENDS: [&str; 6] =
    ["", "", ".ns1.svc.cluster.local", ".ns2.svc.cluster.local", ".svc.cluster.local", ".cluster.local"];

fn one_of<'t>(rng: &mut SmallRng, texts: &[&'t str]) -> &'t str {
    texts[rng.random_range(0..texts.len())]
}

fn random_name(rng: &mut SmallRng, longest: usize) -> String {
    let labels: Vec<&str> = (0..rng.random_range(1..=longest)).map(|_| one_of(rng, &LABELS)).collect();
    labels.join(".") + one_of(rng, &ENDS)
}

fn random_service(rng: &mut SmallRng, nth: u8) -> Service {
    let wildcard = if rng.random_bool(0.3) { "*." } else { "" };
    let vip = |network: &str, third| NetworkAddress::new(network, [10, 1, third, nth].into());
    let vips = match rng.random_range(0..5) {
        0 => vec![],
        1 => vec![vip("nw2", 0)],
        2 => vec![vip("nw1", 0), vip("nw2", 1), vip("nw1", 2)],
        _ => vec![vip("nw1", 0)],
    };
    let visible = rng.random_bool(0.8);
    Service {
        name: "-".into(),
        namespace: one_of(rng, &NAMESPACES).into(),
        hostname: (wildcard.to_owned() + &random_name(rng, 2)).into(),
        vips,
        visibility: if visible { Visibility::Public } else { Visibility::Namespace },
        canonical: rng.random_bool(0.3),
        ..Service::default()
    }
}

fn random_workload(rng: &mut SmallRng, nth: u8, services: &[Service]) -> Workload {
    let joined = services.iter().filter(|_| rng.random_bool(0.3)).map(|it| (it.key(), PortMap::default()));
    let memberships = joined.collect::<Memberships>();
    let template = Template {
        namespace: one_of(rng, &NAMESPACES).into(),
        network: one_of(rng, &NETWORKS).into(),
        services: memberships,
        ..Template::default()
    };
    let (uid, healthy) = (format!("w{nth}"), rng.random_bool(0.8));
    Workload {
        named: Name::of(&uid, one_of(rng, &LABELS)),
        uid: uid.into(),
        addresses: [IpAddr::from([10, 0, 0, nth])].into_iter().filter(|_| rng.random_bool(0.9)).collect(),
        status: if healthy { Health::Healthy } else { Health::Unhealthy },
        template: template.into(),
        ..Workload::default()
    }
}

fn random_mesh(rng: &mut SmallRng) -> Snapshot {
    let services: Vec<Service> = (0..20).map(|nth| random_service(rng, nth)).collect();
    let workloads = (0..10).map(|nth| random_workload(rng, nth, &services)).collect();
    Snapshot::new(Mesh { workloads, services, policies: Vec::new() }, "nw1")
}

/// A name that has something to do with the mesh half the time.
fn random_question(rng: &mut SmallRng, mesh: &Snapshot) -> String {
    if rng.random_bool(0.5) {
        return random_name(rng, 3);
    }
    let services: Vec<&Arc<Service>> = mesh.services().collect();
    let hostname = services[rng.random_range(0..services.len())].hostname.replace('*', "a");
    let full = if rng.random_bool(0.3) { format!("a.{hostname}") } else { hostname };
    let first = full.split('.').next().unwrap().to_owned();
    let shortened = if rng.random_bool(0.3) { first } else { full };
    shortened + one_of(rng, &ENDS)
}

#[test]
fn names_mean_what_the_model_says() {
    let mut rng = SmallRng::seed_from_u64(53);
    let mut seen = BTreeSet::new();
    for _ in 0..400 {
        let mesh = random_mesh(&mut rng);
        for client in mesh.workloads() {
            let model = Model { mesh: &mesh, client };
            for _ in 0..25 {
                let name = random_question(&mut rng, &mesh);
                let question = Question { name: &name, kind: Kind::A };
                let said = short(&answer(&mesh, client, &settings(), question, 0), &name);
                assert_eq!(
                    said,
                    model.answer(&name),
                    "{} asks for {name} in {:#?}",
                    client.namespace,
                    model.mesh
                );
                seen.insert(said.split([':', '.', ' ']).next().unwrap().to_owned());
            }
        }
    }
    for kind in ["10", "a", "nothing", "not"] {
        assert!(seen.contains(kind), "no answer of kind {kind} among {seen:?}");
    }
}
