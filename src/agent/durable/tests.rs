use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// A directory that goes with the test.
#[derive(Debug)]
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("culvert-agent-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn write(&self, name: &str, content: &str) {
        fs::write(self.join(name), content).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// All files, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(&self.0)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A disk whose machine loses power at one step: that one is half done, and nothing is done after it.
#[derive(Debug)]
pub(crate) struct Dying {
    steps_left: AtomicUsize,
}

impl Dying {
    pub(crate) fn after(steps: usize) -> Self {
        Self { steps_left: AtomicUsize::new(steps) }
    }

    /// Whether the power was lost.
    pub(crate) fn is_dead(&self) -> bool {
        self.steps_left.load(Ordering::Relaxed) == 0
    }

    /// Takes a step. `false` when it is the one that fails, an error when nothing works any more.
    fn step(&self) -> io::Result<bool> {
        let down = |left: usize| left.checked_sub(1);
        match self.steps_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, down) {
            Ok(1) => Ok(false),
            Ok(_) => Ok(true),
            Err(_) => Err(dead()),
        }
    }
}

fn dead() -> io::Error {
    io::Error::other("the power is gone")
}

impl Disk for Dying {
    fn create(&self, path: &Path, content: &mut dyn Read, access: Access) -> io::Result<()> {
        if self.step()? {
            return LocalDisk.create(path, content, access);
        }
        // A few bytes have made it.
        LocalDisk.create(path, &mut content.take(3), access)?;
        Err(dead())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        if self.step()? { LocalDisk.rename(from, to) } else { Err(dead()) }
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        if self.step()? { LocalDisk.remove(path) } else { Err(dead()) }
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        if self.step()? { LocalDisk.sync_directory(directory) } else { Err(dead()) }
    }
}

#[test]
fn whenever_the_power_goes_a_file_is_the_old_or_the_new_one() {
    for steps in 1.. {
        let scratch = Scratch::new();
        scratch.write("f", "old content");
        let disk = Dying::after(steps);
        let result = replace(&disk, &scratch.join("f"), &mut "new content".as_bytes(), Access::mode(0o644));
        let content = scratch.read("f");
        if !disk.is_dead() {
            assert!(result.is_ok() && content == "new content");
            assert_eq!(steps, 5, "remove, create, rename, sync");
            return;
        }
        assert!(result.is_err(), "step {steps}");
        assert!(["old content", "new content"].contains(&content.as_str()), "step {steps}: {content:?}");
        sweep(&LocalDisk, scratch.path()).unwrap();
        assert_eq!(scratch.names(), ["f"], "step {steps}");
    }
}

#[test]
fn a_file_gets_the_mode_it_is_given_whatever_the_umask() {
    let scratch = Scratch::new();
    replace(&LocalDisk, &scratch.join("f"), &mut "x".as_bytes(), Access::mode(0o777)).unwrap();
    assert_eq!(fs::metadata(scratch.join("f")).unwrap().permissions().mode() & 0o7777, 0o777);
}

#[test]
fn what_is_not_there_need_not_be_removed() {
    let scratch = Scratch::new();
    remove(&LocalDisk, &scratch.join("none")).unwrap();
    scratch.write("f", "x");
    remove(&LocalDisk, &scratch.join("f")).unwrap();
    assert!(scratch.names().is_empty());
}
