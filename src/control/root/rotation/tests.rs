//! Rotations: the order of the steps, what is on disk between them, and crashes.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use culvert_process::exit::Chain;

use crate::root::{Root, follow};

use super::*;

/// A directory with a root, which goes when the test ends.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("culvert-rotation-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        drop(follow(&dir, SystemTime::now()).unwrap());
        Self(dir)
    }

    #[track_caller]
    fn step(&self, step: Step) {
        run(&self.0, step, Haste::Wait, SystemTime::now()).unwrap();
    }

    #[track_caller]
    fn assert_refused(&self, step: Step, expected: &str) {
        let text = Chain(&run(&self.0, step, Haste::Wait, SystemTime::now()).unwrap_err()).to_string();
        assert!(text.contains(expected), "{text}");
    }

    fn root(&self) -> Root {
        crate::root::open(&Directory::new(&self.0), SystemTime::now()).unwrap()
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.join(name)).unwrap()
    }

    fn files(&self) -> Vec<String> {
        let name = |file: fs::DirEntry| file.file_name().into_string().unwrap();
        let mut names: Vec<_> = fs::read_dir(&self.0).unwrap().map(|file| name(file.unwrap())).collect();
        names.sort();
        names
    }

    /// Goes back to how the directory was.
    fn restore(&self, files: &[(String, String)]) {
        for name in self.files() {
            fs::remove_file(self.0.join(name)).unwrap();
        }
        for (name, text) in files {
            crate::files::write_whole(&self.0.join(name), 0o600, text).unwrap();
        }
    }

    fn all(&self) -> Vec<(String, String)> {
        self.files().into_iter().map(|name| (name.clone(), self.read(&name))).collect()
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The certificates of a bundle, as text.
fn parts(bundle: &str) -> Vec<&str> {
    bundle.split_inclusive("-----END CERTIFICATE-----").map(str::trim).filter(|it| !it.is_empty()).collect()
}

#[test]
fn a_rotation_goes_through_its_stages_and_leaves_one_root() {
    let dir = Dir::new("stages");
    let (old, old_key) = (dir.read("root-cert.pem"), dir.read("root-key.pem"));
    let old = old.trim();
    dir.step(Step::Prepare);
    let prepared = dir.root();
    assert_eq!((prepared.stage, prepared.between.len()), (Stage::Prepared, 0));
    let [first, new] = parts(&prepared.bundle)[..] else { panic!("{}", prepared.bundle) };
    assert_eq!(first, old);

    dir.step(Step::Activate);
    let active = dir.root();
    assert_eq!((active.stage, active.between.len()), (Stage::Active, 1));
    assert_eq!(parts(&active.bundle), [new, old], "who signs comes first");

    dir.step(Step::Finish);
    let steady = dir.root();
    assert_eq!((steady.stage, steady.between.len()), (Stage::Steady, 0));
    assert_eq!(parts(&steady.bundle), [new]);
    assert_eq!(dir.files(), ["leaves.json", "root-cert.pem", "root-key.pem"]);
    assert_ne!(dir.read("root-key.pem"), old_key);

    dir.step(Step::Prepare);
    assert_eq!(dir.root().stage, Stage::Prepared, "and once more");
}

#[test]
fn steps_out_of_order_are_refused_and_change_nothing() {
    let dir = Dir::new("order");
    let check = |refused: [Step; 2], expected: &str| {
        let before = dir.all();
        refused.iter().for_each(|step| dir.assert_refused(*step, expected));
        dir.step(Step::Status);
        assert_eq!(dir.all(), before);
    };
    check([Step::Activate, Step::Finish], "next comes: prepare");
    dir.step(Step::Prepare);
    check([Step::Prepare, Step::Finish], "next comes: activate");
    dir.step(Step::Activate);
    check([Step::Prepare, Step::Activate], "next comes: finish");
    let missing = run(&dir.0.join("missing"), Step::Status, Haste::Wait, SystemTime::now()).unwrap_err();
    assert!(missing.to_string().contains("cannot be used"), "{missing}");
}

/// Whatever was written before the rename that decides leaves the stage before; and that stage can go on.
#[test]
fn a_crash_leaves_a_directory_that_works() {
    let dir = Dir::new("crash");
    for step in [Step::Prepare, Step::Activate, Step::Finish] {
        let (before, stage) = (dir.all(), dir.root().stage);
        dir.step(step);
        let after = dir.all();
        let old = |name: &str| before.iter().find(|(it, _)| it == name).cloned();
        // Every file but the one that decides.
        let decides = |name: &str| name == "root-cert.pem";
        let mut cut_short: Vec<_> = after.iter().filter(|(name, _)| !decides(name)).cloned().collect();
        cut_short.extend(old("root-cert.pem"));
        if step != Step::Finish {
            dir.restore(&cut_short);
            assert_eq!(dir.root().stage, stage, "{step:?}");
            dir.step(step);
        }
    }
    // The last step puts things away after it has decided.
    let dir = Dir::new("crash-late");
    dir.step(Step::Prepare);
    dir.step(Step::Activate);
    let (active, new) = (dir.all(), dir.root());
    let only = parts(&new.bundle)[0].to_owned();
    let decided = active.into_iter().map(|(name, text)| {
        let text = if name == "root-cert.pem" { only.clone() } else { text };
        (name, text)
    });
    dir.restore(&decided.collect::<Vec<_>>());
    assert_eq!(dir.root().stage, Stage::Steady);
    dir.step(Step::Prepare);
    assert_eq!(dir.root().stage, Stage::Prepared);
    assert_eq!(parts(&dir.root().bundle)[0], only);
}

#[test]
fn files_that_do_not_belong_together_stop_the_rotation() {
    let (dir, other) = (Dir::new("one"), Dir::new("other"));
    dir.step(Step::Prepare);
    other.step(Step::Prepare);
    let before = dir.read("next-key.pem");
    fs::copy(other.0.join("next-key.pem"), dir.0.join("next-key.pem")).unwrap();
    dir.assert_refused(Step::Activate, "do not belong together");
    fs::write(dir.0.join("next-key.pem"), before).unwrap();
    fs::copy(other.0.join("cross-cert.pem"), dir.0.join("cross-cert.pem")).unwrap();
    dir.assert_refused(
        Step::Activate,
        "cross-cert.pem is not the certificate of the new root by the old one",
    );
    assert_eq!(dir.root().stage, Stage::Prepared);
}

#[tokio::test]
async fn a_running_server_follows() {
    let dir = Dir::new("follow");
    let (mut root, follow) = follow(&dir.0, SystemTime::now()).unwrap();
    let following = tokio::spawn(follow);
    for (step, stage) in
        [(Step::Prepare, Stage::Prepared), (Step::Activate, Stage::Active), (Step::Finish, Stage::Steady)]
    {
        dir.step(step);
        let changed = root.wait_for(|root| root.stage == stage);
        tokio::time::timeout(Duration::from_secs(10), changed).await.unwrap().unwrap();
    }
    following.abort();
}

#[test]
fn an_old_root_stays_trusted_while_certificates_live_that_it_has_signed() {
    const DAY: Duration = Duration::from_secs(24 * 3600);
    let dir = Dir::new("needed");
    let (directory, now) = (Directory::new(&dir.0), SystemTime::now());
    let mut signed = Leaves::default();
    signed.note(&dir.root().fingerprint(), now + DAY * 90);
    directory.keep_leaves(&signed, now).unwrap();
    dir.step(Step::Prepare);
    dir.step(Step::Activate);
    let mut of_new = Leaves::default();
    of_new.note(&dir.root().fingerprint(), now + DAY * 120);
    directory.keep_leaves(&of_new, now).unwrap();
    let until = crate::root::leaves::written(now + DAY * 90);
    let told = run(&dir.0, Step::Status, Haste::Wait, now).unwrap();
    assert!(told.contains(&format!("the old root is needed until {until}")), "{told}");
    let before = dir.all();
    dir.assert_refused(Step::Finish, &format!("until {until}"));
    dir.assert_refused(Step::Finish, "--insist");
    assert_eq!(dir.all(), before);
    let told = run(&dir.0, Step::Status, Haste::Wait, now + DAY * 90).unwrap();
    assert!(told.contains("needed no more"), "{told}");
    run(&dir.0, Step::Finish, Haste::Wait, now + DAY * 90).unwrap();
    assert_eq!(dir.root().stage, Stage::Steady);
}

#[test]
fn who_insists_does_not_wait_and_what_nobody_has_noted_is_waited_for() {
    let dir = Dir::new("unknown");
    fs::remove_file(dir.0.join("leaves.json")).unwrap();
    dir.step(Step::Prepare);
    dir.step(Step::Activate);
    dir.assert_refused(Step::Finish, "nobody has noted");
    // A server that runs notes the longest life there may be.
    let (directory, now) = (Directory::new(&dir.0), SystemTime::now());
    let bound = now + Duration::from_secs(90 * 24 * 3600);
    directory.keep_leaves(&Leaves::default(), bound).unwrap();
    dir.assert_refused(Step::Finish, &crate::root::leaves::written(bound));
    run(&dir.0, Step::Finish, Haste::Insist, now).unwrap();
    assert_eq!(dir.root().stage, Stage::Steady);
}
