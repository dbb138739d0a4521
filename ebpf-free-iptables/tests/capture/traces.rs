//! Whatever is left of ours is found, and nothing else is taken for it.

use std::collections::BTreeSet;
use std::fs;
use std::thread;

use culvert_sys::netns::Netns;
use ebpf_free_iptables::{Backend, Iptables, Options, Plan};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::harness::{BACKENDS, POD, Programs, any_tools, inside, pod, tools, traces};

fn plan() -> Plan {
    Plan::new(&Options { dns: true, ..Options::default() })
}

#[test]
fn every_part_for_itself_is_a_trace() {
    let parts = [
        "ip rule add pref 32764 fwmark 0x111/0xfff lookup 100",
        "ip -6 rule add pref 32764 fwmark 0x111/0xfff lookup 100",
        "ip route add local default dev lo table 100",
        "ip -6 route add local default dev lo table 100",
        "IPT -t mangle -N ISTIO_PRERT",
        "IPT -t raw -N ISTIO_OUTPUT",
        "IPT -t nat -N ISTIO_PRERT; IPT -t nat -A INPUT -p tcp -j ISTIO_PRERT",
    ];
    let programs = ["iptables-nft", "ip6tables-nft", "iptables-legacy", "ip6tables-legacy"];
    let with_programs = |part: &'static str| programs.map(|program| part.replace("IPT", program));
    let (tools, parts): (_, BTreeSet<String>) =
        (any_tools(), parts.into_iter().flat_map(with_programs).collect());
    for part in parts {
        let pod = pod();
        assert!(!tools.has_traces(&pod).unwrap());
        inside(&pod, &part);
        assert!(tools.has_traces(&pod).unwrap(), "{part}");
        tools.remove(POD, &pod).unwrap();
        assert!(!tools.has_traces(&pod).unwrap(), "{part}");
    }
}

#[test]
fn what_is_somebody_elses_is_no_trace() {
    let (tools, pod) = (any_tools(), pod());
    for program in ["iptables-nft", "ip6tables-nft", "iptables-legacy", "ip6tables-legacy"] {
        for table in ["mangle", "raw", "nat", "filter"] {
            inside(
                &pod,
                &format!("{program} -t {table} -N ISTIO_OUT; {program} -t {table} -A OUTPUT -j ISTIO_OUT"),
            );
        }
        inside(&pod, &format!("{program} -t filter -N ISTIO_OUTPUT"));
    }
    inside(
        &pod,
        "ip rule add pref 32764 fwmark 0x222/0xfff lookup 100; ip -6 rule add pref 10 lookup 100; \
         ip route add 192.0.2.0/24 dev lo table 100; ip -6 route add 2001:db8::/32 dev lo table 100",
    );
    assert!(!tools.has_traces(&pod).unwrap());
}

#[test]
fn what_was_applied_is_found_until_it_is_removed() {
    for backend in BACKENDS {
        let (tools, pod) = (tools(backend), pod());
        tools.apply(POD, &pod, &plan()).unwrap();
        assert!(tools.has_traces(&pod).unwrap());
        tools.release(POD, &pod).unwrap();
        assert!(tools.has_traces(&pod).unwrap());
        tools.remove(POD, &pod).unwrap();
        assert!(!tools.has_traces(&pod).unwrap());
    }
}

/// Whoever is killed leaves what was there at that moment.
#[test]
fn traces_are_found_whenever_the_work_ends() {
    for backend in BACKENDS {
        let pod = pod();
        let steps = Steps::new(backend);
        let seen = steps.watch(&pod, |tools| tools.apply(POD, &pod, &plan()).map(drop).unwrap());
        assert_eq!(seen, [true; 4], "before and after the rules of each IP version");
        let seen = steps.watch(&pod, |tools| tools.release(POD, &pod).unwrap());
        assert_eq!(seen, [true; 4]);
        let seen = steps.watch(&pod, |tools| tools.remove(POD, &pod).unwrap());
        assert_eq!(seen, [true; 4]);
        assert!(!any_tools().has_traces(&pod).unwrap());
    }
}

/// Programs that stop before and after their work, until they are told to go on.
struct Steps {
    programs: Programs,
    tools: Iptables,
}

impl Steps {
    fn new(backend: Backend) -> Self {
        let word = crate::harness::word(backend);
        let stems = [format!("iptables-{word}"), format!("ip6tables-{word}")];
        let programs = Programs::linked(&stems.each_ref().map(String::as_str));
        let tools = Iptables::search(&programs.search()).unwrap();
        let directory = programs.directory.display();
        let stop = format!("echo step >{directory}/reached; cat {directory}/on");
        for pipe in ["reached", "on"] {
            mkfifo(&programs.directory.join(pipe), Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
        }
        for stem in &stems {
            let script = format!("{stop}; $REAL \"$@\"; ended=$?; {stop}; exit $ended");
            programs.replace(&format!("{stem}-restore"), &script);
        }
        Self { programs, tools }
    }

    /// At each stop, whether there are traces, which the ordinary programs have to agree with.
    fn watch(&self, pod: &Netns, work: impl FnOnce(&Iptables) + Send) -> Vec<bool> {
        let path = |name: &str| self.programs.directory.join(name);
        let mut seen = Vec::new();
        thread::scope(|scope| {
            scope.spawn(|| {
                work(&self.tools);
                fs::write(path("reached"), "end").unwrap();
            });
            while fs::read_to_string(path("reached")).unwrap() != "end" {
                let found = self.tools.has_traces(pod).unwrap();
                assert_eq!(found, !traces(pod).is_empty());
                seen.push(found);
                fs::write(path("on"), "").unwrap();
            }
        });
        seen
    }
}
