//! Agents that die at any step, and those that come after them.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use ebpf_free_iptables::{Backend, Disguise, HostProbes, Iptables};

use super::{DISGUISE, POD, World, probes, the_pod};
use crate::harness::{BACKENDS, Programs, SYSTEM, inside, tools, traces, word};

/// Programs of which the one that is called when a fuse has burnt down dies: that before had run, or half of it.
struct Mortal {
    programs: Programs,
}

impl Mortal {
    fn new(backend: Backend) -> Self {
        let names = ["iptables", "ip6tables"].map(|stem| format!("{stem}-{}", word(backend)));
        let programs = Programs::linked(&[&names[0], &names[1]]);
        symlink(Path::new(SYSTEM).join("ipset"), programs.directory.join("ipset")).unwrap();
        let mortal = Self { programs };
        mortal.light(1000);
        let fuse = mortal.programs.directory.join("fuse");
        for name in ["ipset".to_owned(), format!("{}-restore", names[0]), format!("{}-restore", names[1])] {
            let script = format!(
                "left=$(cat {0}); echo $((left - 1)) >{0}
                 case \"$left $*\" in
                 '0 -exist restore') head -n 2 | $REAL \"$@\"; kill -9 $$;;
                 '0 '*) kill -9 $$;;
                 esac
                 exec $REAL \"$@\"",
                fuse.display()
            );
            mortal.programs.replace(&name, &script);
        }
        mortal
    }

    fn light(&self, calls: usize) {
        fs::write(self.programs.directory.join("fuse"), format!("{calls}\n")).unwrap();
    }

    fn probes(&self) -> HostProbes {
        let search = self.programs.search();
        HostProbes::new(Iptables::search(&search).unwrap(), &search, Disguise::default()).unwrap()
    }
}

#[test]
fn whatever_an_agent_that_died_has_left_is_completed() {
    for backend in BACKENDS {
        let mortal = Mortal::new(backend);
        let dying = mortal.probes();
        let mut deaths = 0;
        loop {
            let world = World::new();
            mortal.light(deaths);
            let died = dying.apply(&world.node, &the_pod()).is_err();
            mortal.light(1000);
            let next = probes(tools(backend));
            next.apply(&world.node, &the_pod()).unwrap();
            assert_eq!(next.verify(&world.node, &the_pod()).unwrap(), [""; 0], "after {deaths} calls");
            assert_eq!(world.seen(&world.node, POD[0]), DISGUISE[0]);
            mortal.light(deaths);
            let left = dying.remove(&world.node).is_err();
            mortal.light(1000);
            next.remove(&world.node).unwrap();
            assert_eq!(traces(&world.node), [""; 0], "after {deaths} calls");
            assert_eq!(inside(&world.node, "ipset list -name"), "");
            if !died && !left {
                break;
            }
            deaths += 1;
            assert!(deaths < 40, "it still fails when nothing of it dies");
        }
        assert!(deaths >= 6, "{deaths} steps");
    }
}
