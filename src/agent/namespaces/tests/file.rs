//! Pods of a file, which say where their namespaces are.

use super::*;

fn spec(netns: NetnsSource) -> PodSpec {
    let workload = Workload { name: "web".into(), namespace: "shop".into(), service_account: "web".into() };
    PodSpec { uid: "u".into(), workload, netns, capture: Arc::default(), expected: false }
}

fn survey(netns: NetnsSource, held: &BTreeMap<Uid, Arc<Netns>>) -> Result<Arc<Netns>, Missing> {
    Namespaces::new("/proc".into(), Handed::default()).survey(&[spec(netns)], held).remove(0).found
}

fn look(netns: NetnsSource) -> Result<Arc<Netns>, Missing> {
    survey(netns, &BTreeMap::new())
}

#[test]
fn paths_and_processes_lead_to_the_same_namespace() {
    let netns = Netns::create().unwrap();
    let found = look(NetnsSource::Path(netns.path())).unwrap();
    assert_eq!(found.id(), netns.id());
    let own = look(NetnsSource::Process(std::process::id())).unwrap();
    assert_eq!(own.id(), Netns::current().unwrap().id());
}

#[test]
fn a_held_namespace_is_not_opened_twice() {
    let netns = Arc::new(Netns::create().unwrap());
    let held = BTreeMap::from([(Uid::from("u"), Arc::clone(&netns))]);
    let found = survey(NetnsSource::Path(netns.path()), &held).unwrap();
    assert!(Arc::ptr_eq(&found, &netns));
}

#[test]
fn what_is_not_a_namespace_counts_as_gone() {
    for path in ["/run/netns/there-is-none", "/etc/passwd", "/dev/null", "/tmp", "/proc/self/ns/mnt"] {
        assert!(look(NetnsSource::Path(path.into())).unwrap_err().is_gone(), "{path}");
    }
    assert!(look(NetnsSource::Process(u32::MAX)).unwrap_err().is_gone());
    let busy = io::Error::from_raw_os_error(24); // EMFILE
    assert!(!Missing::from(busy).is_gone());
}

#[test]
fn only_pods_of_kubernetes_are_awaited() {
    let missing = look(NetnsSource::Path("/run/netns/there-is-none".into())).unwrap_err();
    assert!(!missing.is_awaited());
}
