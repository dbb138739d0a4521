//! Configuration that is elsewhere, with links to it where runtimes look.

use std::os::unix::fs::{chown, symlink};

use super::*;

/// A node whose configuration is a link to a file in another directory, which belongs to somebody.
fn node(mode: Mode, text: &str) -> (Node, Scratch) {
    let (node, elsewhere) = (Node::new(mode, &[]), Scratch::new());
    elsewhere.write("cni.conflist", text);
    chown(elsewhere.join("cni.conflist"), Some(12), Some(34)).unwrap();
    fs::set_permissions(elsewhere.join("cni.conflist"), fs::Permissions::from_mode(0o640)).unwrap();
    symlink(elsewhere.join("cni.conflist"), node.conf.join("10-a.conflist")).unwrap();
    (node, elsewhere)
}

fn is_link(path: &Path) -> bool {
    fs::symlink_metadata(path).unwrap().is_symlink()
}

#[test]
fn the_file_behind_a_link_is_written_and_the_link_stays() {
    let (node, elsewhere) = node(Mode::Append, CILIUM);
    let state = || {
        let metadata = fs::metadata(elsewhere.join("cni.conflist")).unwrap();
        (metadata.uid(), metadata.gid(), metadata.permissions().mode() & 0o7777)
    };
    assert_eq!(node.install().missing, None);
    assert!(is_link(&node.conf.join("10-a.conflist")));
    assert!(elsewhere.read("cni.conflist").contains(PLUGIN));
    assert_eq!((node.conf.names().len(), elsewhere.names().len(), state()), (1, 1, (12, 34, 0o640)));
    node.remove();
    assert!(is_link(&node.conf.join("10-a.conflist")));
    assert_eq!((elsewhere.read("cni.conflist").as_str(), state()), (CILIUM, (12, 34, 0o640)));
}

#[test]
fn a_link_to_a_file_beside_it_is_not_joined_and_left_again_and_again() {
    let node = Node::new(Mode::Append, &[("20-real.conflist", CILIUM)]);
    symlink("20-real.conflist", node.conf.join("10-a.conflist")).unwrap();
    node.install();
    let mut changed = Vec::new();
    apply::install(&LocalDisk, &node.settings, &mut changed).unwrap();
    assert!(changed.is_empty(), "{changed:?}");
    assert!(node.conf.read("20-real.conflist").contains(PLUGIN) && is_link(&node.conf.join("10-a.conflist")));
    node.remove();
    assert_eq!(node.conf.read("20-real.conflist"), CILIUM);
}

#[test]
fn a_link_to_a_single_plugin_is_put_aside_and_comes_back_as_a_link() {
    let (node, elsewhere) = (Node::new(Mode::Append, &[]), Scratch::new());
    elsewhere.write("cni.conf", BRIDGE);
    symlink(elsewhere.join("cni.conf"), node.conf.join("10-a.conf")).unwrap();
    node.install();
    assert_eq!(node.chain(), ["bridge", PLUGIN]);
    node.remove();
    assert!(is_link(&node.conf.join("10-a.conf")));
    assert_eq!((node.conf.names(), elsewhere.read("cni.conf")), (vec!["10-a.conf".into()], BRIDGE.into()));
}

#[test]
fn a_link_that_leads_nowhere_is_skipped_and_told() {
    let node = Node::new(Mode::Append, &[("20-b.conflist", KINDNET)]);
    symlink("/nowhere/cni.conflist", node.conf.join("10-a.conflist")).unwrap();
    let applied = node.install();
    assert!(
        applied.warnings.iter().any(|warning| warning.contains("10-a.conflist") && warning.contains("link"))
    );
    assert!(node.conf.read("20-b.conflist").contains(PLUGIN) && is_link(&node.conf.join("10-a.conflist")));
    node.remove();
    assert!(is_link(&node.conf.join("10-a.conflist")));
}

#[test]
fn files_keep_their_owner() {
    for mode in [Mode::Append, Mode::Own] {
        let node = Node::new(mode, &[("10-a.conflist", CILIUM)]);
        chown(node.conf.join("10-a.conflist"), Some(12), Some(34)).unwrap();
        node.install();
        let metadata = fs::metadata(node.conf.join("10-a.conflist")).unwrap();
        assert_eq!((metadata.uid(), metadata.gid()), (12, 34), "{mode:?}");
    }
}
