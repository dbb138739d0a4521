use std::io;
use std::path::Path;
use std::time::Duration;

use culvert_zds::Probes;
use ebpf_free_iptables::Options;

use super::*;
use crate::backoff::Backoff;
use crate::enrolment::PARTING;
use crate::enrolment::state::{Trouble, Unserved};
use crate::pod::{Capture, NetnsSource, Workload};
use crate::table::Enrolled;

/// Pods and wishes under construction; the namespaces are real, and empty.
struct Scene {
    looked: Looked,
    pods: Pods,
    now: Instant,
}

fn netns() -> Arc<Netns> {
    Arc::new(Netns::create().expect("tests run as root"))
}

fn spec(uid: &str, path: &str) -> PodSpec {
    let workload = Workload { name: uid.into(), namespace: "shop".into(), service_account: uid.into() };
    PodSpec {
        uid: uid.into(),
        workload,
        netns: NetnsSource::Path(path.into()),
        capture: Arc::default(),
        expected: false,
    }
}

impl Scene {
    fn new() -> Self {
        Self { looked: Looked::default(), pods: Pods::new(), now: Instant::now() }
    }

    /// The file has the pod at `/UID`, which leads to `netns`.
    fn wants(mut self, uid: &str, netns: &Arc<Netns>) -> Self {
        self.looked.wanted.push(Wanted { spec: spec(uid, &format!("/{uid}")), found: Ok(Arc::clone(netns)) });
        self
    }

    /// The file has the pod at a path that leads nowhere.
    fn wants_lost(mut self, uid: &str) -> Self {
        let lost = io::Error::from(io::ErrorKind::NotFound).into();
        self.looked.wanted.push(Wanted { spec: spec(uid, "/there/is/none"), found: Err(lost) });
        self
    }

    fn has(mut self, uid: &str, hold: Hold) -> Self {
        let pod = Pod { hold, ..Pod::new(spec(uid, &format!("/{uid}"))) };
        self.pods.insert(uid.into(), pod);
        self
    }

    fn has_enrolled(self, uid: &str, netns: &Arc<Netns>) -> Self {
        let enrolled = Enrolled::new(spec(uid, "/").workload, Arc::clone(netns), Probes::default());
        self.has(uid, Hold::Enrolled(Arc::new(enrolled)))
    }

    /// The pod has been released, and nodes have this long yet.
    fn has_released(self, uid: &str, netns: &Arc<Netns>, yet: Duration) -> Self {
        let until = self.now + yet;
        self.has(uid, Hold::Released(Arc::clone(netns), until))
    }

    fn change(mut self, uid: &str, change: impl FnOnce(&mut Pod, Instant)) -> Self {
        change(self.pods.get_mut(uid).unwrap(), self.now);
        self
    }

    /// Asks for the plan, and puts it in words.
    fn check(&self, expected: &[&str]) {
        let steps = plan(&self.looked, &self.pods, &Host::find(Path::new("/proc")).unwrap(), self.now);
        let steps: Vec<_> = steps.iter().map(|step| format!("{} {}", word(&step.action), step.uid)).collect();
        assert_eq!(steps, expected);
    }
}

fn word(action: &Action) -> &'static str {
    match action {
        Action::Program(..) => "program",
        Action::Release(Departure::Leave) => "release",
        Action::Release(Departure::Move) => "release to move",
        Action::Withdraw(Departure::Leave) => "leave",
        Action::Withdraw(Departure::Move) => "move",
        Action::Abandon => "abandon",
        Action::Rename(_) => "rename",
        Action::Refuse(_, Reason::Namespace { .. }) => "lost",
        Action::Refuse(_, Reason::Host { .. }) => "host",
        Action::Refuse(_, Reason::Shared { .. }) => "shared",
        Action::Refuse(..) => "refuse",
        Action::Forget => "forget",
    }
}

fn trouble(pod: &mut Pod, backoff: Backoff) {
    pod.trouble = Some(Trouble { text: "trouble".into(), backoff, node: Unserved::Keep });
}

fn in_trouble(pod: &mut Pod, now: Instant) {
    trouble(pod, Backoff::begin(now));
}

fn due(pod: &mut Pod, now: Instant) {
    trouble(pod, Backoff::begin(now).hurry(now));
}

fn busy(pod: &mut Pod, _: Instant) {
    pod.work = Work::Busy;
}

/// Its last place was another one than the file names.
fn elsewhere(pod: &mut Pod, _: Instant) {
    pod.spec.netns = NetnsSource::Process(1);
}

#[test]
fn new_pods_are_programmed_and_enrolled_ones_are_left_alone() {
    let (a, b) = (netns(), netns());
    Scene::new().wants("a", &a).wants("b", &b).check(&["program a", "program b"]);
    Scene::new().wants("a", &a).wants("b", &b).has_enrolled("a", &a).check(&["program b"]);
}

#[test]
fn pods_that_left_the_file_are_released_and_withdrawn_and_then_forgotten() {
    let a = netns();
    Scene::new().has_enrolled("a", &a).check(&["release a"]);
    Scene::new().has_released("a", &a, PARTING).check(&[]);
    Scene::new().has_released("a", &a, Duration::ZERO).check(&["leave a"]);
    // A node may serve it from before the agent was.
    Scene::new().has("a", Hold::Touched(Arc::clone(&a))).check(&["release a"]);
    Scene::new().has("a", Hold::Nothing).check(&["forget a"]);
}

#[test]
fn a_pod_that_is_gone_is_abandoned_and_nothing_is_done_in_it() {
    let a = netns();
    let known = |there: &[&str]| Others::Known(there.iter().map(|uid| Uid::from(*uid)).collect());
    let mut scene = Scene::new().has_enrolled("a", &a).has_enrolled("b", &netns());
    scene.looked.others = known(&["a"]);
    scene.check(&["release a", "abandon b"]);
    let mut scene = Scene::new().has_released("a", &a, Duration::from_secs(1));
    scene.looked.others = known(&[]);
    scene.check(&["abandon a"]);
}

#[test]
fn a_pod_that_shall_be_captured_otherwise_is_programmed_and_one_whose_probes_changed_is_told() {
    let a = netns();
    let mut scene = Scene::new().wants("a", &a).has_enrolled("a", &a);
    let rules = Options { dns: true, ..Options::default() };
    scene.looked.wanted[0].spec.capture = Arc::new(Capture { rules, ..Capture::default() });
    scene.check(&["program a"]);
    let probes = Capture { probe_ports: [80].into(), ..Capture::default() };
    scene.looked.wanted[0].spec.capture = Arc::new(probes);
    scene.check(&["rename a"]);
}

#[test]
fn a_pod_that_is_back_before_its_rules_are_out_is_programmed_again() {
    let a = netns();
    Scene::new().wants("a", &a).has_released("a", &a, PARTING).check(&["program a"]);
    Scene::new().wants("a", &a).has_released("a", &a, Duration::ZERO).check(&["program a"]);
}

#[test]
fn nothing_is_planned_for_a_pod_that_is_worked_on() {
    let (a, b) = (netns(), netns());
    Scene::new().has_enrolled("a", &a).change("a", busy).check(&[]);
    Scene::new().wants("a", &b).has_enrolled("a", &a).change("a", busy).check(&[]);
}

#[test]
fn trouble_waits_until_it_is_due() {
    let a = netns();
    let touched = || Scene::new().has("a", Hold::Touched(Arc::clone(&a)));
    touched().wants("a", &a).change("a", in_trouble).check(&[]);
    touched().wants("a", &a).change("a", due).check(&["program a"]);
    touched().change("a", in_trouble).check(&[]);
    touched().change("a", due).check(&["release a"]);
    let released = || Scene::new().has_released("a", &a, Duration::ZERO);
    released().change("a", in_trouble).check(&[]);
    released().change("a", due).check(&["leave a"]);
    let nothing = || Scene::new().has("a", Hold::Nothing).wants("a", &a);
    nothing().change("a", in_trouble).check(&[]);
    nothing().change("a", due).check(&["program a"]);
}

#[test]
fn a_pod_that_has_to_be_waited_for_is_in_no_trouble() {
    let awaited = || {
        let mut scene = Scene::new();
        let found = Err(Missing::Awaited);
        scene.looked.wanted.push(Wanted { spec: spec("a", "/a"), found });
        scene
    };
    awaited().check(&[]);
    awaited().has("a", Hold::Nothing).change("a", in_trouble).check(&["forget a"]);
    awaited().has_enrolled("a", &netns()).check(&[]);
}

#[test]
fn what_was_adopted_is_programmed_if_it_is_wished_for_and_else_taken_out() {
    let a = netns();
    let adopted = || Scene::new().has("a", Hold::Touched(Arc::clone(&a)));
    adopted().wants("a", &a).check(&["program a"]);
    adopted().wants("a", &a).change("a", elsewhere).check(&["program a"]);
    adopted().check(&["release a"]);
}

#[test]
fn another_namespace_behind_the_same_path_is_a_replaced_pod() {
    let (old, new) = (netns(), netns());
    Scene::new().wants("a", &new).has_enrolled("a", &old).check(&["abandon a"]);
    let gone = || Scene::new().wants_lost("a").has_enrolled("a", &old);
    let at_lost_path = |pod: &mut Pod, _: Instant| pod.spec.netns = spec("a", "/there/is/none").netns;
    gone().change("a", at_lost_path).check(&["abandon a"]);
}

#[test]
fn another_path_that_leads_elsewhere_is_a_moved_pod() {
    let (old, new) = (netns(), netns());
    let moved = |scene: Scene| scene.change("a", elsewhere);
    moved(Scene::new().wants("a", &new).has_enrolled("a", &old)).check(&["release to move a"]);
    moved(Scene::new().wants_lost("a").has_enrolled("a", &old)).check(&["release to move a"]);
    moved(Scene::new().wants("a", &old).has_enrolled("a", &old)).check(&["rename a"]);
}

#[test]
fn a_moved_pod_keeps_what_tracks_its_connections_until_nodes_had_time_to_end_them() {
    let (old, new) = (netns(), netns());
    let moved = |scene: Scene| scene.wants("a", &new).change("a", elsewhere);
    let touched = || Scene::new().has("a", Hold::Touched(Arc::clone(&old)));
    moved(touched()).check(&["release to move a"]);
    moved(Scene::new().has_released("a", &old, Duration::from_nanos(1))).check(&[]);
    let released = || Scene::new().has_released("a", &old, Duration::ZERO);
    moved(released()).check(&["move a"]);
    // What went wrong in the old place does not keep the new one waiting.
    moved(touched()).change("a", in_trouble).check(&["release to move a"]);
    moved(released()).change("a", in_trouble).check(&["move a"]);
}

#[test]
fn a_pod_with_a_new_name_is_renamed() {
    let a = netns();
    let rename = |pod: &mut Pod, _: Instant| pod.spec.workload.name = "before".into();
    Scene::new().wants("a", &a).has_enrolled("a", &a).change("a", rename).check(&["rename a"]);
}

#[test]
fn a_namespace_that_cannot_be_looked_at_for_a_moment_changes_nothing() {
    let a = netns();
    let mut scene = Scene::new().wants("a", &a).has_enrolled("a", &a);
    // EMFILE: the agent is out of descriptors.
    scene.looked.wanted[0].found = Err(io::Error::from_raw_os_error(24).into());
    scene.check(&[]);
}

#[test]
fn lost_and_host_namespaces_are_refused() {
    Scene::new().wants_lost("a").check(&["lost a"]);
    let host = Arc::new(Netns::open(Path::new("/proc/self/ns/net")).unwrap());
    Scene::new().wants("a", &host).check(&["host a"]);
}

#[test]
fn a_namespace_belongs_to_the_first_pod_in_the_file() {
    let shared = netns();
    Scene::new().wants("b", &shared).wants("a", &shared).check(&["program b", "shared a"]);
    // Also while the first one waits for its next attempt.
    let waiting = Scene::new().wants("b", &shared).wants("a", &shared).has("b", Hold::Nothing);
    waiting.change("b", in_trouble).check(&["shared a"]);
    // But nobody is driven out.
    Scene::new().wants("b", &shared).wants("a", &shared).has_enrolled("a", &shared).check(&["shared b"]);
}

#[test]
fn the_next_pod_waits_until_the_last_one_has_left_the_namespace() {
    let a = netns();
    Scene::new().wants("new", &a).has_enrolled("old", &a).check(&["release old"]);
    Scene::new().wants("new", &a).has_released("old", &a, PARTING).check(&[]);
    Scene::new().wants("new", &a).has_released("old", &a, Duration::ZERO).check(&["leave old"]);
    Scene::new().wants("new", &a).has_enrolled("old", &a).change("old", busy).check(&[]);
}

#[test]
fn two_pods_may_swap_their_namespaces() {
    let (a, b) = (netns(), netns());
    let swap = || Scene::new().wants("a", &b).wants("b", &a);
    let moved = |scene: Scene| scene.change("a", elsewhere).change("b", elsewhere);
    let enrolled = swap().has_enrolled("a", &a).has_enrolled("b", &b);
    moved(enrolled).check(&["release to move a", "release to move b"]);
    let released = swap().has_released("a", &a, Duration::ZERO).has_released("b", &b, PARTING);
    moved(released).check(&["move a"]);
    // The first one out waits for the other.
    let waiting = swap().has("a", Hold::Nothing).has_released("b", &b, PARTING);
    moved(waiting).check(&[]);
    let empty = swap().has("a", Hold::Nothing).has("b", Hold::Nothing);
    empty.check(&["program a", "program b"]);
}
