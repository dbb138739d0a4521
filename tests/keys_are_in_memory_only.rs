//! Keys of workloads are in the node program's memory and nowhere else.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use culvert_lab::wait_until;

use crate::harness::cluster::{Cluster, ECHO, programs};
use crate::harness::keys;
use crate::harness::talk::{SOON, assert_echo};

/// Takes write access to every file system away from the program it becomes, and says so if it could not.
const READ_ONLY: &str = r#"#!/bin/sh
[ "$0" = inside ] || exec unshare --mount sh -c "$(cat "$0")" inside DIRECTORY PROGRAM "$@"
while read -r _ place _; do
    mount -o remount,bind,ro "$(printf '%b' "$place")" 2>/dev/null
done < /proc/self/mounts
for place in "$1" /tmp /var/tmp /dev/shm /run /root "$PWD"; do
    if [ -d "$place" ] && touch "$place/written" 2>/dev/null; then echo "wrote to $place"; exit 1; fi
done
shift
exec "$@"
"#;

/// The node program, where nothing can be written, as a program.
fn without_disks(cluster: &Cluster) -> PathBuf {
    let (script, directory) = (cluster.lab.directory().join("read-only.sh"), cluster.lab.directory());
    let text = READ_ONLY.replace("DIRECTORY", &directory.display().to_string());
    let text = text.replace("PROGRAM", &programs().unwrap().node.display().to_string());
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    script
}

/// Files below a directory that have a private key in them, in whatever form.
fn with_keys(directory: &Path) -> Vec<PathBuf> {
    let has_key =
        |text: &[u8]| keys::forms().any(|(_, form)| text.windows(form.len()).any(|bytes| bytes == form));
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            found.extend(with_keys(&entry.path()));
        } else if kind.is_file() {
            let text = fs::read(entry.path()).unwrap_or_default();
            if has_key(&text) {
                found.push(entry.path());
            }
        }
    }
    found
}

#[test]
fn a_node_that_can_write_nothing_serves_and_no_key_is_in_a_file() {
    let cluster = Cluster::without_mesh("keys").unwrap();
    let lab = &cluster.lab;
    lab.enrol_all(&[&cluster.client, &cluster.server]).unwrap();
    lab.start_control().unwrap();
    for node in [&cluster.one, &cluster.two] {
        lab.start_agent(node).unwrap();
    }
    // One that may write, in the lab's directory, and does not; and one that may not.
    let free = lab.node_launch(&cluster.one).unwrap().env("CULVERT_LANDLOCK", "off");
    lab.start_node_as(&cluster.one, free).unwrap();
    let program = without_disks(&cluster);
    lab.start_node_as(&cluster.two, lab.node_launch(&cluster.two).unwrap().binary(program)).unwrap();
    wait_until(SOON, "the client is captured", || cluster.client.is_captured().unwrap()).unwrap();
    assert_echo(&cluster.client, (cluster.server.ip4(), ECHO), b"by certificates of both");
    // The one key there is a file of is the root's, at the control plane.
    assert_eq!(with_keys(lab.directory()), [lab.directory().join("ca/root-key.pem")]);
}
