//! The power goes at any step of an installation or removal.

use super::*;

/// Files a CNI may have when the power goes: more than one mode and kind, and some of ours already.
fn nodes() -> Vec<(&'static str, Node)> {
    let converted = Node::new(Mode::Append, &[("10-a.conf", BRIDGE)]);
    converted.install();
    converted.conf.write("10-a.conf", &BRIDGE.replace("1450", "1400"));
    let mut changed = Node::new(Mode::Append, &[("10-a.conf", BRIDGE)]);
    changed.install();
    changed.settings.wanted.mode = Mode::Own;
    vec![
        ("list", Node::new(Mode::Append, &[("10-a.conflist", CILIUM)])),
        ("single", Node::new(Mode::Append, &[("10-a.conf", BRIDGE)])),
        ("rewritten single", converted),
        ("own of list", Node::new(Mode::Own, &[("10-a.conflist", CILIUM)])),
        ("own of single", Node::new(Mode::Own, &[("10-a.conf", BRIDGE)])),
        ("change of mode", changed),
    ]
}

/// Runtimes find the CNI's plugins at any time, with ours or without, and never half a file.
fn works(node: &Node, what: &str) {
    let chain = node.chain();
    assert!(["bridge", "cilium-cni"].contains(&chain[0].as_str()), "{what}: {chain:?}");
    for name in node.conf.names().iter().filter(|name| !name.starts_with('.')) {
        let text = node.conf.read(name);
        assert!(serde_json::from_str::<Value>(&text).is_ok(), "{what}: {name} is {text:?}");
    }
}

#[test]
fn after_a_power_loss_at_any_step_the_cni_works_and_the_next_start_finishes() {
    let count = nodes().len();
    for index in 0..count {
        for steps in 1.. {
            let (kind, node) = nodes().remove(index);
            let disk = Dying::after(steps);
            let result = node.install_on(&disk);
            let what = format!("{kind}, step {steps}");
            assert_eq!(result.is_err(), disk.is_dead(), "{what}");
            works(&node, &what);
            assert_eq!(node.install().missing, None, "{what}");
            node.install();
            assert_eq!(node.chain().last().unwrap(), PLUGIN, "{what}");
            let drafts = node.conf.names().iter().filter(|name| name.starts_with('.')).count();
            assert_eq!(drafts, 0, "{what}");
            if !disk.is_dead() {
                assert!(steps > 4, "{what}: nothing was interrupted");
                break;
            }
        }
    }
}

#[test]
fn after_a_power_loss_at_any_step_of_the_removal_the_next_one_finishes() {
    let count = nodes().len();
    for index in 0..count {
        for steps in 1.. {
            let (kind, node) = nodes().remove(index);
            node.install();
            node.install();
            let disk = Dying::after(steps);
            // What fails is seen at the disk.
            let _ = apply::remove(&disk, &node.settings);
            let what = format!("{kind}, step {steps}");
            works(&node, &what);
            node.remove();
            let names = node.conf.names();
            assert!(names == ["10-a.conflist"] || names == ["10-a.conf"], "{what}: {names:?}");
            let text = node.conf.read(&names[0]);
            assert!(
                [CILIUM, BRIDGE, &BRIDGE.replace("1450", "1400")].contains(&text.as_str()),
                "{what}: {text}"
            );
            if !disk.is_dead() {
                break;
            }
        }
    }
}
