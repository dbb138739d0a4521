//! Directories as CNIs leave them, and what becomes of them.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use serde_json::Value;

use super::*;
use crate::durable::Access;
use crate::durable::tests::{Dying, Scratch};

mod crash;
mod followed;
mod linked;
mod meddling;
mod precious;

const CILIUM: &str = "{\n  \"cniVersion\": \"0.3.1\",\n  \"name\": \"cilium\",\n  \"plugins\": [\n    {\n       \"type\": \"cilium-cni\",\n       \"enable-debug\": false,\n       \"log-file\": \"/var/run/cilium/cilium-cni.log\"\n    }\n  ]\n}\n";
const KINDNET: &str = "{\"cniVersion\":\"0.3.1\",\"name\":\"kindnet\",\"plugins\":[{\"type\":\"ptp\",\"ipam\":{\"type\":\"host-local\"}},{\"type\":\"portmap\"}]}";
const BRIDGE: &str =
    "{\n\t\"cniVersion\": \"0.4.0\",\n\t\"name\": \"mynet\",\n\t\"type\": \"bridge\",\n\t\"mtu\": 1450\n}\n";

pub(super) fn entry() -> Entry {
    Entry {
        kind: PLUGIN.to_owned(),
        agent_socket: "/run/culvert/agent.sock".into(),
        state_file: "/var/lib/culvert/namespaces.json".into(),
        excluded_namespaces: ["kube-system".to_owned()].into(),
        agent_pods: AgentPods::like("mesh", "culvert-agent-x2b7k"),
        made_from: None,
    }
}

/// A node with a CNI.
struct Node {
    bin: Scratch,
    conf: Scratch,
    settings: Settings,
}

impl Node {
    fn new(mode: Mode, files: &[(&str, &str)]) -> Self {
        let (bin, conf) = (Scratch::new(), Scratch::new());
        for (name, text) in files {
            conf.write(name, text);
        }
        bin.write("namespaces.json", "{}");
        let entry = Entry { state_file: bin.join("namespaces.json"), ..entry() };
        let wanted = plan::Wanted { mode, file: None, entry };
        let settings = Settings { bin: bin.path().to_owned(), conf: conf.path().to_owned(), wanted };
        Self { bin, conf, settings }
    }

    fn install(&self) -> Applied {
        self.install_on(&LocalDisk).unwrap()
    }

    /// All but the executable, which is large.
    fn install_on(&self, disk: &dyn Disk) -> Result<Applied, Error> {
        apply::install(disk, &self.settings, &mut Vec::new())
    }

    fn remove(&self) {
        apply::remove(&LocalDisk, &self.settings).unwrap();
    }

    /// What a runtime would use: the types of the first valid file's plugins.
    fn chain(&self) -> Vec<String> {
        let usable = |name: &String| {
            let json: Value = serde_json::from_str(&self.conf.read(name)).ok()?;
            let kind = |plugin: &Value| Some(plugin["type"].as_str()?.to_owned());
            if name.ends_with(".conflist") {
                json["plugins"]
                    .as_array()?
                    .iter()
                    .map(kind)
                    .collect::<Option<Vec<_>>>()
                    .filter(|list| !list.is_empty())
            } else {
                Some(vec![kind(&json)?])
            }
        };
        let read =
            |name: &String| [".conf", ".conflist", ".json"].iter().any(|suffix| name.ends_with(suffix));
        self.conf.names().iter().filter(|name| read(name)).find_map(usable).unwrap_or_default()
    }

    fn modified(&self, name: &str) -> (i64, i64, u64) {
        let metadata = fs::metadata(self.conf.join(name)).unwrap();
        (metadata.mtime(), metadata.mtime_nsec(), metadata.ino())
    }
}

#[test]
fn our_plugin_goes_behind_the_others_of_the_first_list_and_out_without_a_trace() {
    for text in [CILIUM, KINDNET] {
        let node = Node::new(
            Mode::Append,
            &[("10-z.conflist", text), ("20-other.conflist", KINDNET), ("notes.txt", "x")],
        );
        assert_eq!(node.install().missing, None);
        assert_eq!(node.chain().last().unwrap(), PLUGIN);
        assert_eq!(node.conf.read("20-other.conflist"), KINDNET);
        assert_eq!(node.conf.names(), ["10-z.conflist", "20-other.conflist", "notes.txt"]);
        node.remove();
        assert_eq!(node.conf.read("10-z.conflist"), text);
    }
}

#[test]
fn what_is_in_place_is_not_written_again() {
    for mode in [Mode::Append, Mode::Own] {
        for (name, text) in [("10-a.conflist", CILIUM), ("10-a.conf", BRIDGE)] {
            let node = Node::new(mode, &[(name, text)]);
            node.install();
            let state = || {
                node.conf.names().iter().map(|name| (name.clone(), node.modified(name))).collect::<Vec<_>>()
            };
            let before = state();
            let mut changed = Vec::new();
            apply::install(&LocalDisk, &node.settings, &mut changed).unwrap();
            assert_eq!((state(), changed.is_empty()), (before, true), "{mode:?} {name}");
        }
    }
}

#[test]
fn a_single_plugin_becomes_a_list_and_is_itself_again_afterwards() {
    for name in ["10-a.conf", "10-a.json"] {
        let node = Node::new(Mode::Append, &[(name, BRIDGE)]);
        node.install();
        assert_eq!(node.chain(), ["bridge", PLUGIN]);
        let mut names = vec!["10-a.conflist".to_owned(), format!("{name}.culvert-saved")];
        names.sort();
        assert_eq!(node.conf.names(), names);
        let list: Value = serde_json::from_str(&node.conf.read("10-a.conflist")).unwrap();
        assert_eq!(
            (&list["name"], &list["cniVersion"], &list["plugins"][0]["mtu"]),
            (&"mynet".into(), &"0.4.0".into(), &1450.into())
        );

        // Its owner writes it again, as CNIs do when they restart.
        node.conf.write(name, &BRIDGE.replace("1450", "1400"));
        node.install();
        let list: Value = serde_json::from_str(&node.conf.read("10-a.conflist")).unwrap();
        assert_eq!(
            (node.chain(), &list["plugins"][0]["mtu"]),
            (vec!["bridge".into(), PLUGIN.into()], &1400.into())
        );

        node.remove();
        assert_eq!(node.conf.names(), [name]);
        assert_eq!(node.conf.read(name), BRIDGE.replace("1450", "1400"));
    }
}

#[test]
fn an_original_that_was_lost_is_made_from_the_list() {
    let node = Node::new(Mode::Append, &[("10-a.conf", BRIDGE)]);
    node.install();
    fs::remove_file(node.conf.join("10-a.conf.culvert-saved")).unwrap();
    node.remove();
    assert_eq!(node.conf.names(), ["10-a.conf"]);
    let json = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    assert_eq!(json(&node.conf.read("10-a.conf")), json(BRIDGE));
}

#[test]
fn a_list_of_somebody_else_is_not_overwritten_by_a_converted_file() {
    let node = Node::new(Mode::Append, &[("10-a.conf", BRIDGE), ("10-a.conflist", KINDNET)]);
    assert!(node.install().missing.unwrap().contains("10-a.conflist"));
    assert_eq!(
        (node.conf.read("10-a.conf").as_str(), node.conf.read("10-a.conflist").as_str()),
        (BRIDGE, KINDNET)
    );
}

#[test]
fn the_own_file_is_a_copy_that_wins_and_follows_the_original() {
    for (name, text) in [("05-cilium.conflist", CILIUM), ("10-a.conf", BRIDGE)] {
        let node = Node::new(Mode::Own, &[(name, text)]);
        node.install();
        assert_eq!(node.conf.read(name), text);
        assert_eq!(node.conf.names()[0], plan::OWN);
        assert_eq!(node.chain().last().unwrap(), PLUGIN);

        let newer = text.replace("mynet", "newer").replace("enable-debug\": false", "enable-debug\": true");
        node.conf.write(name, &newer);
        node.install();
        assert!(node.conf.read(plan::OWN).contains(if text == CILIUM {
            "\"enable-debug\": true"
        } else {
            "newer"
        }));

        fs::remove_file(node.conf.join(name)).unwrap();
        let applied = node.install();
        assert_eq!(
            (applied.missing, applied.warnings.len()),
            (None, 1),
            "pods must not start without the plugin"
        );
        assert_eq!(node.chain().last().unwrap(), PLUGIN);
        node.conf.write(name, &newer);
        node.remove();
        assert_eq!((node.conf.names(), node.conf.read(name)), (vec![name.to_owned()], newer));
    }
}

#[test]
fn the_mode_can_be_changed_both_ways() {
    for (name, text) in [("10-a.conflist", CILIUM), ("10-a.conf", BRIDGE)] {
        let mut node = Node::new(Mode::Append, &[(name, text)]);
        for mode in [Mode::Append, Mode::Own, Mode::Append, Mode::Own] {
            node.settings.wanted.mode = mode;
            node.install();
            node.install();
            assert_eq!(node.chain().iter().filter(|kind| *kind == PLUGIN).count(), 1, "{mode:?} {name}");
            assert_eq!(node.conf.join(plan::OWN).exists(), mode == Mode::Own);
        }
        assert_eq!(node.conf.read(name), text, "the own file is all there is of ours");
        node.remove();
        assert_eq!(node.conf.names(), [name]);
    }
}

#[test]
fn files_that_make_no_sense_are_skipped_and_left_alone() {
    let broken = [
        ("01-empty.conflist", ""),
        ("02-half.conflist", "{\"name\":\"x\",\"plug"),
        ("03-odd.conf", "{\"name\":\"x\"}"),
    ];
    let mut files = broken.to_vec();
    files.push(("10-a.conflist", CILIUM));
    let node = Node::new(Mode::Append, &files);
    fs::write(node.conf.join("04-binary.conf"), [0xff, 0xfe]).unwrap();
    fs::create_dir(node.conf.join("05-directory.conf")).unwrap();
    let applied = node.install();
    assert_eq!(applied.missing, None);
    assert_eq!(applied.warnings.len(), 4, "{:?}", applied.warnings);
    assert!(node.conf.read("10-a.conflist").contains(PLUGIN));
    for (name, text) in broken {
        assert_eq!(node.conf.read(name), text);
    }
}

#[test]
fn without_a_cni_there_is_something_to_wait_for() {
    for mode in [Mode::Append, Mode::Own] {
        let node = Node::new(mode, &[]);
        assert!(node.install().missing.is_some());
        assert!(node.conf.names().is_empty());
    }
    let mut node = Node::new(Mode::Append, &[("10-a.conflist", CILIUM), ("20-b.conf", BRIDGE)]);
    node.settings.wanted.file = Some("30-c.conflist".to_owned());
    assert!(node.install().missing.unwrap().contains("30-c.conflist"));
    node.settings.wanted.file = Some("20-b.conf".to_owned());
    for _ in 0..2 {
        assert_eq!(node.install().missing, None);
        assert!(node.conf.read("20-b.conflist").contains(PLUGIN));
        assert_eq!(node.conf.read("10-a.conflist"), CILIUM);
    }
}

#[test]
fn a_list_in_a_version_the_plugin_does_not_speak_is_not_broken() {
    for text in [CILIUM.replace("0.3.1", "9.0.0"), CILIUM.replace("\"cniVersion\": \"0.3.1\",", "")] {
        for mode in [Mode::Append, Mode::Own] {
            let node = Node::new(mode, &[("10-a.conflist", &text)]);
            assert!(node.install().missing.unwrap().contains("version"));
            assert_eq!((node.conf.names().len(), node.conf.read("10-a.conflist")), (1, text.clone()));
        }
    }
}

#[test]
fn modes_of_files_stay_what_they_were() {
    for mode in [0o600, 0o644, 0o664] {
        for kind in [Mode::Append, Mode::Own] {
            let node = Node::new(kind, &[("10-a.conflist", CILIUM)]);
            let path = node.conf.join("10-a.conflist");
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            node.install();
            for name in node.conf.names() {
                let found = fs::metadata(node.conf.join(&name)).unwrap().permissions().mode() & 0o7777;
                assert_eq!(found, mode, "{kind:?} {name}");
            }
        }
    }
}

#[test]
fn what_others_have_added_to_our_list_stays_when_we_go() {
    let node = Node::new(Mode::Append, &[("10-a.conf", BRIDGE)]);
    node.install();
    let joined = node.conf.read("10-a.conflist");
    let at = joined.rfind("\n  ]").unwrap();
    node.conf.write("10-a.conflist", &format!("{},{{\"type\":\"late\"}}{}", &joined[..at], &joined[at..]));
    node.install();
    assert_eq!(node.chain(), ["bridge", PLUGIN, "late"]);
    node.remove();
    assert_eq!(
        (node.chain(), node.conf.names()),
        (vec!["bridge".into(), "late".into()], vec!["10-a.conflist".to_owned()])
    );
}

#[test]
fn the_executable_is_copied_once_and_repaired() {
    let (bin, program) = (Scratch::new(), Scratch::new());
    let content = "x".repeat(200_000);
    program.write("agent", &content);
    let (from, to) = (program.join("agent"), bin.join(PLUGIN));
    let install = || executable::install(&LocalDisk, &to, &from).unwrap();
    assert!(install() && !install());
    assert_eq!(fs::metadata(&to).unwrap().permissions().mode() & 0o7777, 0o755);
    for damage in [format!("{}y", &content[1..]), String::new(), content[1..].to_owned()] {
        bin.write(PLUGIN, &damage);
        assert!(install() && !install());
        assert_eq!(bin.read(PLUGIN), content);
    }
    fs::set_permissions(&to, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(install());
    assert_eq!(bin.names(), [PLUGIN]);
}

#[test]
fn all_of_it_can_be_taken_away_and_what_fails_does_not_keep_the_rest() {
    let node = Node::new(Mode::Append, &[("10-a.conflist", CILIUM)]);
    node.install();
    node.bin.write(PLUGIN, "executable");
    assert!(remove(&node.settings).is_empty());
    assert!(remove(&node.settings).is_empty(), "nothing is left to remove");
    let left = || (node.bin.names(), node.conf.read("10-a.conflist"));
    assert_eq!(left(), (vec!["namespaces.json".to_owned()], CILIUM.to_owned()));

    node.install();
    fs::create_dir(node.bin.join(PLUGIN)).unwrap();
    assert_eq!(remove(&node.settings).len(), 1);
    assert_eq!(left(), (vec![PLUGIN.to_owned(), "namespaces.json".to_owned()], CILIUM.to_owned()));
}

#[test]
fn nothing_is_installed_unless_both_directories_are_given() {
    #[derive(Debug, clap::Parser)]
    struct Program {
        #[command(flatten)]
        args: Args,
    }
    let parse = |line: &str| {
        let parsed: Result<Program, _> = clap::Parser::try_parse_from(line.split(' '));
        parsed.map(|program| program.args.settings(Path::new("/a.sock"), None, BTreeSet::new()))
    };
    assert!(parse("agent").unwrap().is_none());
    parse("agent --cni-bin-dir /b").unwrap_err();
    parse("agent --cni-conf-dir /c").unwrap_err();
    let settings =
        parse("agent --cni-bin-dir /b --cni-conf-dir /c --cni-mode own --cni-conf-name= --state-dir /s")
            .unwrap()
            .unwrap();
    assert_eq!((settings.wanted.mode, &settings.wanted.file), (Mode::Own, &None));
    assert_eq!(settings.wanted.entry.agent_socket, Path::new("/a.sock"));
    assert_eq!(settings.executable(), Path::new("/b/culvert-cni"));
    assert_eq!(settings.wanted.entry.state_file, Path::new("/s/namespaces.json"));
}

#[test]
fn the_plugin_is_not_used_before_it_has_something_to_go_by() {
    let node = Node::new(Mode::Append, &[("10-a.conflist", CILIUM)]);
    fs::remove_file(node.bin.join("namespaces.json")).unwrap();
    assert!(node.install().missing.unwrap().contains("namespaces.json"));
    assert_eq!(node.conf.read("10-a.conflist"), CILIUM);
    node.bin.write("namespaces.json", "{}");
    assert_eq!(node.install().missing, None);
    assert_eq!(node.chain().last().unwrap(), PLUGIN);
}
