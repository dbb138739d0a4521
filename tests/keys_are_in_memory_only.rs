//! Keys of workloads are in the node program's memory and nowhere else.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use culvert_lab::wait_until;

use crate::harness::cluster::{Cluster, ECHO, programs};
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

/// Files below a directory that have a private key in them, as text or as DER (RFC 5958, RFC 5915).
fn with_keys(directory: &Path) -> Vec<PathBuf> {
    /// OIDs of id-ecPublicKey and prime256v1, and the version and length that are before a key: PKCS #8 of a P-256 key.
    const PKCS8_P256: &[u8] =
        b"\x02\x01\x00\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07";
    let has = |text: &[u8], part: &[u8]| text.windows(part.len()).any(|bytes| bytes == part);
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            found.extend(with_keys(&entry.path()));
        } else if kind.is_file() {
            let text = fs::read(entry.path()).unwrap_or_default();
            if has(&text, b"PRIVATE KEY") || has(&text, PKCS8_P256) {
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
    // One that may write, in the lab's directory; and one that may not.
    lab.start_node(&cluster.one).unwrap();
    let program = without_disks(&cluster);
    lab.start_node_as(&cluster.two, lab.node_launch(&cluster.two).unwrap().binary(program)).unwrap();
    wait_until(SOON, "the client is captured", || cluster.client.is_captured()).unwrap();
    assert_echo(&cluster.client, (cluster.server.ip4(), ECHO), b"by certificates of both");
    // The one key there is a file of is the root's, at the control plane.
    assert_eq!(with_keys(lab.directory()), [lab.directory().join("ca/root-key.pem")]);
}
