//! What is the only copy of the CNI's configuration, and must not go.

use super::*;

const SAVED: &str = "10-a.conf.culvert-saved";
const HALF: &str = "{\"name\":\"x\",\"plug";

fn converted() -> Node {
    let node = Node::new(Mode::Append, &[("10-a.conf", BRIDGE)]);
    node.install();
    assert_eq!(node.conf.names(), ["10-a.conf.culvert-saved", "10-a.conflist"]);
    node
}

#[test]
fn the_original_comes_back_when_the_list_is_missing_or_makes_no_sense() {
    let node = converted();
    fs::remove_file(node.conf.join("10-a.conflist")).unwrap();
    node.remove();
    assert_eq!((node.conf.names(), node.conf.read("10-a.conf")), (vec!["10-a.conf".into()], BRIDGE.into()));

    for damage in ["", HALF] {
        let node = converted();
        node.conf.write("10-a.conflist", damage);
        node.remove();
        assert_eq!(node.conf.names(), ["10-a.conf", "10-a.conflist"], "{damage}");
        assert_eq!(
            (node.conf.read("10-a.conf").as_str(), node.conf.read("10-a.conflist")),
            (BRIDGE, damage.into())
        );
    }
}

#[test]
fn a_list_that_came_in_its_place_does_not_lose_against_an_old_original() {
    let node = converted();
    node.conf.write("10-a.conflist", KINDNET);
    node.remove();
    assert_eq!((node.chain(), node.conf.read(SAVED)), (vec!["ptp".into(), "portmap".into()], BRIDGE.into()));
}

#[test]
fn what_stands_in_for_an_original_that_makes_no_sense_stays() {
    // Its owner is writing it again, and has not got far.
    let node = converted();
    node.conf.write("10-a.conf", HALF);
    node.conf.write("20-b.conflist", KINDNET);
    node.install();
    assert_eq!(node.chain(), ["bridge", PLUGIN], "runtimes skip what makes no sense");
    node.remove();
    assert_eq!(node.chain(), ["bridge"], "{:?}", node.conf.names());
    assert!(!node.conf.read("10-a.conflist").contains(PLUGIN));
    assert_eq!(node.conf.read("10-a.conf"), HALF);

    let node = converted();
    node.conf.write("10-a.conf", HALF);
    fs::remove_file(node.conf.join("10-a.conflist")).unwrap();
    node.remove();
    assert_eq!(node.conf.read(SAVED), BRIDGE, "nothing else is left of it");
    assert_eq!(node.conf.read("10-a.conf"), HALF);
}

#[test]
fn an_original_that_its_owner_writes_while_it_is_brought_back_is_not_overwritten() {
    let node = converted();
    fs::remove_file(node.conf.join("10-a.conflist")).unwrap();
    let newer = BRIDGE.replace("1450", "1400");
    let plan = plan::Plan {
        changes: vec![plan::Change::Rename { from: SAVED.into(), to: "10-a.conf".into(), over: None }],
        ..plan::Plan::default()
    };
    node.conf.write("10-a.conf", &newer);
    assert!(
        apply::make(&LocalDisk, node.conf.path(), &plan, &mut Vec::new()).unwrap(),
        "somebody got in the way"
    );
    node.remove();
    assert_eq!((node.conf.names(), node.conf.read("10-a.conf")), (vec!["10-a.conf".into()], newer));
}

#[test]
fn what_is_not_of_our_making_stays_whatever_it_is_called() {
    let node = Node::new(Mode::Append, &[(".culvert-saved", "x"), ("notes.txt.culvert-saved", "y")]);
    node.remove();
    assert_eq!(node.conf.names(), [".culvert-saved", "notes.txt.culvert-saved"]);
}
