//! An owner writes the file at the worst moment: after it was read, before it is replaced.

use std::io::Read;

use super::*;

/// A disk on which somebody writes to a file whenever something new is about to take its place.
#[derive(Debug)]
struct Meddling {
    victim: PathBuf,
    text: &'static str,
}

impl Disk for Meddling {
    fn create(&self, path: &Path, content: &mut dyn Read, access: Access) -> io::Result<()> {
        LocalDisk.create(path, content, access)?;
        fs::write(&self.victim, self.text)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        LocalDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        LocalDisk.remove(path)
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        LocalDisk.sync_directory(directory)
    }
}

#[test]
fn what_an_owner_has_just_written_is_not_replaced() {
    for (name, text, newer) in
        [("10-a.conflist", CILIUM, KINDNET), ("10-a.conf", BRIDGE, "{\"name\":\"n\",\"type\":\"newer\"}")]
    {
        let node = Node::new(Mode::Append, &[(name, text)]);
        let disk = Meddling { victim: node.conf.join(name), text: newer };
        assert!(node.install_on(&disk).unwrap().interrupted, "{name}");
        assert_eq!(node.conf.read(name), newer);
        // The next pass takes what is there.
        node.install();
        assert_eq!(node.chain().last().unwrap(), PLUGIN);
        node.remove();
        assert_eq!((node.conf.names(), node.conf.read(name)), (vec![name.to_owned()], newer.to_owned()));
    }
}
