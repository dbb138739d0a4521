//! Pods made by a container runtime: they are pods like all others, and nothing of them stays.

use std::fs;
use std::io::{self, BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use culvert_lab::{Behaviour, Container, Containers, Error, Lab, Node, Plugin, PodSpec, new_uid, wait_until};

const SOON: Duration = Duration::from_secs(10);

fn runtime(name: &str) -> Result<(Lab, Node, Containers), Error> {
    let lab = Lab::new(name)?;
    let node = lab.node("one")?;
    let containers = lab.containers(&node)?;
    Ok((lab, node, containers))
}

type Make = fn(&Containers, PodSpec, &str) -> Result<Container, Error>;

/// Both kinds.
const KINDS: [(&str, Make); 2] = [("podman", Containers::run), ("sandbox", Containers::sandbox)];

fn make(containers: &Containers, make: Make, name: &str) -> Result<Container, Error> {
    make(containers, PodSpec::new(name).namespace("shop"), &new_uid()?)
}

#[test]
fn containers_reach_each_other_their_node_and_pods_elsewhere() {
    let (lab, node, containers) = runtime("reach").unwrap();
    let other = lab.node("two").unwrap();
    let far = lab.pod(&other, PodSpec::new("far")).unwrap();
    let near = lab.pod(&node, PodSpec::new("near")).unwrap();
    let made: Vec<_> = KINDS.iter().map(|(name, kind)| make(&containers, *kind, name).unwrap()).collect();
    let all: Vec<_> = made.iter().map(Container::pod).chain([&far, &near]).collect();
    for pod in &all {
        lab.serve(pod, 8080, Behaviour::WhoAmI).unwrap();
    }
    for from in &all {
        for to in all.iter().filter(|to| to.uid() != from.uid()) {
            for (ip, own) in to.ips().into_iter().zip(from.ips()) {
                let answer = String::from_utf8(from.ask((ip, 8080), b"", SOON).unwrap()).unwrap();
                assert!(answer.starts_with(&format!("{} ", to.name())), "{answer}");
                assert!(answer.contains(&own.to_string()), "{answer} of {}", from.name());
            }
        }
    }
    let own = near.node_interface().to_owned();
    assert!(made.iter().all(|container| container.pod().node_interface() != own));
}

#[test]
fn processes_tell_whose_they_are() {
    let (_lab, _, containers) = runtime("whose").unwrap();
    for (name, kind) in KINDS {
        let container = make(&containers, kind, name).unwrap();
        let groups = fs::read_to_string(format!("/proc/{}/cgroup", container.pid())).unwrap();
        let wanted = format!("/kubepods/burstable/pod{}/", container.pod().uid());
        let unified = groups.lines().find(|line| line.starts_with("0::")).unwrap();
        assert!(unified.contains(&wanted) && unified.ends_with(container.id()), "{groups}");
        let netns = culvert_sys::netns::Netns::of_process(container.pid()).unwrap();
        assert_eq!(netns.id(), container.pod().netns().id());
    }
}

/// A plugin that writes down what it is told, and says no when a file is there.
fn witness(directory: &Path) -> io::Result<Plugin> {
    let program = directory.join("witness");
    let log = directory.join("witness.log");
    let script = format!(
        r#"#!/bin/sh
conf=$(cat)
[ "$CNI_COMMAND" != VERSION ] || {{ echo '{{"cniVersion":"1.0.0","supportedVersions":["0.4.0","1.0.0"]}}'; exit 0; }}
echo "$CNI_COMMAND $CNI_CONTAINERID $CNI_NETNS $(stat -L -c %i "$CNI_NETNS") $CNI_ARGS" >>{log}
[ "$CNI_COMMAND" = DEL ] || [ ! -e {log}.no ] || {{ echo '{{"code":100,"msg":"not today"}}'; exit 1; }}
[ "$CNI_COMMAND" != ADD ] || echo "$conf" | sed 's/.*"prevResult":\({{.*}}\),"type".*/\1/'
"#,
        log = log.display()
    );
    fs::write(&program, script)?;
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&program, executable)?;
    Ok(Plugin { kind: "witness".into(), program, settings: serde_json::json!({}) })
}

fn told(lab: &Lab) -> Vec<String> {
    let log = fs::read_to_string(lab.directory().join("witness.log")).unwrap_or_default();
    log.lines().map(str::to_owned).collect()
}

#[test]
fn a_plugin_is_told_of_the_pod_and_its_namespace_at_both_ends_of_its_life() {
    for (name, kind) in KINDS {
        let (lab, _, containers) = runtime(name).unwrap();
        containers.append(&witness(lab.directory()).unwrap()).unwrap();
        let container = make(&containers, kind, "web").unwrap();
        let inode = container.pod().netns().id().to_string();
        containers.remove(&container).unwrap();
        let told = told(&lab);
        assert_eq!(told.len(), 2, "{told:?}");
        for (line, verb) in told.iter().zip(["ADD", "DEL"]) {
            assert!(line.starts_with(&format!("{verb} {} ", container.id())), "{line}");
            assert!(inode.contains(line.split(' ').nth(3).unwrap()), "{line} is not of {inode}");
            let uid = container.pod().uid();
            for argument in ["K8S_POD_NAME=web", "K8S_POD_NAMESPACE=shop", &format!("K8S_POD_UID={uid}")] {
                assert!(line.contains(argument), "{argument} is not in {line}");
            }
        }
    }
}

#[test]
fn a_pod_that_a_plugin_refuses_does_not_start_and_leaves_nothing() {
    for (name, kind) in KINDS {
        let (lab, node, containers) = runtime(&format!("no-{name}")).unwrap();
        containers.append(&witness(lab.directory()).unwrap()).unwrap();
        let refusal = lab.directory().join("witness.log.no");
        fs::write(&refusal, "").unwrap();
        let error = kind(&containers, PodSpec::new("web"), &new_uid().unwrap()).unwrap_err();
        assert!(error.to_string().contains("not today"), "{error:?}");
        assert!(told(&lab).last().unwrap().starts_with("DEL"), "{:?}", told(&lab));
        assert_eq!(ports(&node), 0);
        assert!(containers.running().is_empty());
        fs::remove_file(refusal).unwrap();
        make(&containers, kind, "web").unwrap();
        assert_eq!(ports(&node), 1);
    }
}

/// How many containers are plugged into the bridge of a node.
fn ports(node: &Node) -> usize {
    let list = || Command::new("ip").args(["-oneline", "link", "show", "master", "cni0"]).output();
    // The child starts in the namespace its parent is in.
    let output = node.netns().run(list).and_then(|output| output).expect("ip runs");
    String::from_utf8_lossy(&output.stdout).lines().count()
}

/// What there is of a lab on this machine, by the part of its name that is in all of it.
fn traces(name: &str) -> Vec<String> {
    let mounts = fs::read_to_string("/proc/self/mounts").expect("/proc is mounted");
    let mounts = mounts.lines().filter(|line| line.contains(name)).map(str::to_owned);
    let groups = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/memory"].map(|root| {
        let entries = fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path());
        entries.filter(|path| path.to_string_lossy().contains(name)).collect::<Vec<_>>()
    });
    let groups = groups.into_iter().flatten().map(|path| path.display().to_string());
    let processes = fs::read_dir("/proc").expect("/proc is mounted").flatten().filter_map(|entry| {
        let line = fs::read_to_string(entry.path().join("cmdline")).ok()?;
        line.contains(name).then(|| line.replace('\0', " "))
    });
    mounts.chain(groups).chain(processes).collect()
}

#[test]
fn nothing_outlives_the_lab() {
    let name = "culvert-lab-outlives-";
    let (lab, _, containers) = runtime("outlives").unwrap();
    let made: Vec<_> = KINDS.iter().map(|(name, kind)| make(&containers, *kind, name).unwrap()).collect();
    let removed = make(&containers, Containers::run, "removed").unwrap();
    containers.remove(&removed).unwrap();
    assert_ne!(traces(name), Vec::<String>::new(), "the test sees nothing where there is something");
    let processes: Vec<_> = made.iter().map(Container::pid).collect();
    drop((containers, lab));
    for pid in processes {
        assert!(!Path::new(&format!("/proc/{pid}")).exists(), "process {pid} is left");
    }
    assert_eq!(traces(name), Vec::<String>::new());
}

/// What `a_killed_lab_leaves_nothing_either` kills.
#[test]
#[ignore = "runs only as the victim of another test"]
fn victim() {
    let (lab, _, containers) = runtime("victim").unwrap();
    for (name, kind) in KINDS {
        make(&containers, kind, name).unwrap();
    }
    println!("\nvictim {}", lab.directory().display());
    thread::sleep(Duration::from_secs(60));
}

#[test]
fn a_killed_lab_leaves_nothing_either() {
    let name = "culvert-lab-victim-";
    let mut victim = Command::new(std::env::current_exe().unwrap());
    victim.args(["--exact", "victim", "--ignored", "--nocapture"]).stdout(Stdio::piped());
    let mut victim = victim.spawn().unwrap();
    let mut lines = BufReader::new(victim.stdout.take().unwrap()).lines().map_while(Result::ok);
    let directory = lines.find_map(|line| line.strip_prefix("victim ").map(str::to_owned)).unwrap();
    let short = std::env::temp_dir().join(format!("culvert-run-{}-1", victim.id()));
    assert!(short.exists() && !traces(name).is_empty());
    victim.kill().unwrap();
    victim.wait().unwrap();
    wait_until(SOON * 3, "nothing of it is left", || traces(name).is_empty()).unwrap();
    wait_until(SOON, "its other directory is gone", || !short.exists()).unwrap();
    // This one is all that nobody was left to remove.
    fs::remove_dir_all(directory).unwrap();
}

#[test]
fn runtimes_of_several_labs_and_threads_do_not_disturb_each_other() {
    thread::scope(|scope| {
        for lab in ["first", "second"] {
            scope.spawn(move || {
                let (lab, node, containers) = runtime(lab).unwrap();
                thread::scope(|scope| {
                    for number in 0..8 {
                        let (containers, kind) = (&containers, KINDS[usize::from(number % 4 == 0)].1);
                        let kind: Make = if number % 4 == 0 { Containers::run } else { kind };
                        scope.spawn(move || make(containers, kind, &format!("web-{number}")).unwrap());
                    }
                });
                assert_eq!(ports(&node), 8);
                let mut ips: Vec<_> = containers.running().iter().map(|one| one.pod().ip4()).collect();
                ips.sort_unstable();
                ips.dedup();
                assert_eq!(ips.len(), 8);
                for container in containers.running() {
                    containers.remove(&container).unwrap();
                }
                assert_eq!(ports(&node), 0);
                drop(lab);
            });
        }
    });
}

/// Prints how long each kind takes: `cargo test -p culvert-lab --test containers -- --ignored --nocapture`.
#[test]
#[ignore = "measures"]
fn how_long_it_takes() {
    let (_lab, _, containers) = runtime("measure").unwrap();
    for (name, kind, count) in
        [("podman", Containers::run as Make, 20), ("sandbox", Containers::sandbox, 100)]
    {
        for threads in [1, 2, 4] {
            let began = Instant::now();
            thread::scope(|scope| {
                for thread in 0..threads {
                    let containers = &containers;
                    scope.spawn(move || {
                        for number in (0..count).filter(|number| number % threads == thread) {
                            make(containers, kind, &format!("m-{number}")).unwrap();
                        }
                    });
                }
            });
            let made = began.elapsed();
            let began = Instant::now();
            for container in containers.running() {
                containers.remove(&container).unwrap();
            }
            let rate = |time: Duration| f64::from(count) / time.as_secs_f64();
            println!(
                "{name}, {threads} threads: {:.1} made, {:.1} removed a second",
                rate(made),
                rate(began.elapsed())
            );
        }
    }
}
