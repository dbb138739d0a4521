//! What is given up is gone: each test gives it up in a process of its own, and then tries.

#![cfg(test)]

use std::env;
use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use culvert_confine::files::Places;
use culvert_confine::{Calls, Capability, Files, Memory, Profile, Report, Switch, Switches};
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::ptrace;
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket, socketpair};
use nix::unistd::{Pid, chroot};

/// Names the test that a process is there for.
const ALONE: &str = "CULVERT_CONFINED";

/// Has the rest of a test happen in a process of its own: what is given up does not come back.
fn alone(name: &str, rest: impl FnOnce()) {
    if env::var(ALONE).is_ok_and(|alone| alone == name) {
        return rest();
    }
    let scratch = env::temp_dir().join(format!("culvert-confine-{}-{name}", std::process::id()));
    fs::create_dir(&scratch).unwrap();
    let mut again = Command::new(env::current_exe().unwrap());
    again.args(["--exact", name, "--nocapture", "--test-threads=1"]);
    let output = again.env(ALONE, name).env("TMPDIR", &scratch).output().unwrap();
    // Not by itself: it may not be able to.
    fs::remove_dir_all(&scratch).unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("1 passed"), "{said}");
}

/// A node's, with other files.
fn data_plane(files: Files) -> Profile {
    Profile {
        capabilities: &[Capability::CAP_NET_ADMIN, Capability::CAP_SYS_ADMIN],
        calls: Calls::DataPlane,
        files,
        memory: Memory::Closed,
    }
}

fn enter(profile: &Profile) -> Report {
    let report = profile.enter(Switches::default());
    assert_eq!(report.lacks(), <[String; 0]>::default());
    report
}

/// A field of this thread's status.
fn status(field: &str) -> String {
    let status = fs::read_to_string("/proc/thread-self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("{field} in {status}")).trim().to_owned()
}

fn set(field: &str) -> u64 {
    u64::from_str_radix(&status(field), 16).unwrap()
}

/// A file of the test's own, in what `alone` clears away.
fn written(name: &str, text: &str) -> PathBuf {
    let path = env::temp_dir().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    path
}

fn refused<T>(result: std::io::Result<T>) -> bool {
    result.is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
}

#[test]
fn capabilities_are_gone_from_all_sets() {
    alone("capabilities_are_gone_from_all_sets", || {
        enter(&data_plane(Files::All));
        let kept = Capability::CAP_NET_ADMIN.bitmask() | Capability::CAP_SYS_ADMIN.bitmask();
        for field in ["CapEff", "CapPrm", "CapBnd"] {
            assert_eq!(set(field), kept, "{field}");
        }
        for field in ["CapInh", "CapAmb"] {
            assert_eq!(set(field), 0, "{field}");
        }
        assert_eq!((status("NoNewPrivs"), status("Seccomp")), ("1".into(), "2".into()));
        let later = std::thread::spawn(|| (set("CapPrm"), set("CapBnd"), status("Seccomp"))).join().unwrap();
        assert_eq!(later, (kept, kept, "2".into()));
    });
}

#[test]
fn a_capability_that_is_not_there_is_not_missed() {
    alone("a_capability_that_is_not_there_is_not_missed", || {
        enter(&Profile { capabilities: &[], calls: Calls::Programmer, ..data_plane(Files::All) });
        // Again, by then with neither the right to change the bounding set nor anything in it; the filter keeps the rest from being done.
        let kept = culvert_confine::capability::keep(&[Capability::CAP_NET_ADMIN]);
        assert!(kept.is_err() || kept.is_ok_and(|kept| kept.effective.is_empty()));
        assert_eq!(set("CapEff"), 0);
    });
}

#[test]
fn memory_is_not_dumped() {
    alone("memory_is_not_dumped", || {
        let switches = Switches { calls: Switch::Off, files: Switch::Off };
        let _ = data_plane(Files::All).enter(switches);
        assert_eq!(getrlimit(Resource::RLIMIT_CORE).unwrap(), (0, 0));
        assert!(!nix::sys::prctl::get_dumpable().unwrap());
    });
}

#[test]
fn a_data_plane_makes_the_calls_it_needs_and_no_others() {
    alone("a_data_plane_makes_the_calls_it_needs_and_no_others", || {
        let network = fs::File::open("/proc/thread-self/ns/net").unwrap();
        let names = fs::File::open("/proc/thread-self/ns/uts").unwrap();
        enter(&data_plane(Files::All));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut caller = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        caller.write_all(b"x").unwrap();
        listener.accept().unwrap().0.read_exact(&mut [0]).unwrap();
        std::thread::spawn(|| ()).join().unwrap();
        setns(&network, CloneFlags::CLONE_NEWNET).unwrap();

        assert_eq!(setns(&names, CloneFlags::CLONE_NEWUTS), Err(Errno::EPERM));
        assert_eq!(setns(&network, CloneFlags::empty()), Err(Errno::EPERM), "of whatever kind");
        assert_eq!(unshare(CloneFlags::CLONE_NEWNET), Err(Errno::EPERM));
        assert_eq!(
            mount(Some("none"), "/mnt", Some("tmpfs"), MsFlags::empty(), None::<&str>),
            Err(Errno::EPERM)
        );
        assert_eq!(chroot("/"), Err(Errno::EPERM));
        assert_eq!(ptrace::attach(Pid::parent()), Err(Errno::EPERM));
        assert!(refused(Command::new("/bin/true").status()), "nothing is started");
        let flags = SockFlag::empty();
        for (family, kind) in [
            (AddressFamily::Packet, SockType::Raw),
            (AddressFamily::Packet, SockType::Datagram),
            (AddressFamily::Alg, SockType::SeqPacket),
            (AddressFamily::Vsock, SockType::Stream),
            (AddressFamily::Inet, SockType::Raw),
            (AddressFamily::Inet6, SockType::Raw),
        ] {
            assert_eq!(socket(family, kind, flags, None).err(), Some(Errno::EPERM), "{family:?} {kind:?}");
        }
        socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags).unwrap();
    });
}

#[test]
fn calls_that_are_younger_are_unknown() {
    alone("calls_that_are_younger_are_unknown", || {
        enter(&data_plane(Files::All));
        // Landlock's are, to the filter; who asks for them takes the kernel for an old one, and goes on.
        let report = data_plane(Files::Of(Places::common())).enter(Switches::default());
        assert!(
            report.lacks().iter().any(|lack| lack == "the kernel has no Landlock"),
            "{:?}",
            report.lacks()
        );
    });
}

#[test]
fn switches_are_heeded() {
    alone("switches_are_heeded", || {
        let file = written("file", "seen");
        let off = Switches { calls: Switch::Log, files: Switch::Off };
        let report = data_plane(Files::Of(Places::common())).enter(off);
        assert_eq!(report.lacks(), <[String; 0]>::default());
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        assert_eq!(fs::read_to_string(file).unwrap(), "seen");
        assert_eq!(set("CapBnd").count_ones(), 2, "capabilities are no matter of switches");
    });
}

#[test]
fn tools_run_and_have_no_more_than_who_starts_them() {
    alone("tools_run_and_have_no_more_than_who_starts_them", || {
        let capabilities = &[Capability::CAP_NET_ADMIN, Capability::CAP_SYS_ADMIN];
        enter(&Profile {
            capabilities,
            calls: Calls::Programmer,
            files: Files::All,
            memory: Memory::OpenToChildren,
        });
        let said = |script: &str| {
            let output = Command::new("/bin/sh").args(["-c", script]).output().unwrap();
            (output.status.success(), String::from_utf8(output.stdout).unwrap())
        };
        let kept = format!("CapEff:\t{:016x}\n", set("CapEff"));
        assert_eq!(said("grep CapEff /proc/self/status"), (true, kept));
        assert_eq!(
            said("grep -o Seccomp:.* /proc/self/status | tr -d '[:space:]'"),
            (true, "Seccomp:2".into())
        );
        assert!(!said("unshare --uts true").0);
        assert!(!said("mount -t tmpfs none /mnt").0);
        assert!(!said("nsenter --uts=/proc/self/ns/uts true").0);
    });
}

#[test]
fn files_that_were_not_named_are_out_of_sight() {
    alone("files_that_were_not_named_are_out_of_sight", || {
        let named = written("named/file", "named");
        let other = written("other/file", "other");
        let made = written("made/already", "");
        let made = made.parent().unwrap();
        enter(&data_plane(Files::Of(Places::common().file(&named).workshop(made))));

        assert_eq!(fs::read_to_string(&named).unwrap(), "named");
        fs::read("/etc/passwd").unwrap();
        fs::read("/proc/self/exe").unwrap();
        fs::OpenOptions::new().write(true).open("/dev/null").unwrap();
        let socket = made.join("socket");
        std::os::unix::net::UnixListener::bind(&socket).unwrap();
        fs::remove_file(&socket).unwrap();

        assert!(refused(fs::read(&other)));
        assert!(refused(fs::read_dir(env::temp_dir())));
        assert!(refused(fs::write(&named, "changed")));
        assert!(refused(fs::write("/etc/culvert-was-here", "")));
        assert!(refused(fs::File::open("/proc/1/ns/net")), "other processes");
    });
}

#[test]
fn files_that_are_replaced_stay_in_sight() {
    alone("files_that_are_replaced_stay_in_sight", || {
        written("volume/..1/token", "first");
        written("volume/..2/token", "second");
        let volume = env::temp_dir().join("volume");
        // As kubelet keeps volumes.
        let link = |to: &str, name: &str| std::os::unix::fs::symlink(to, volume.join(name)).unwrap();
        link("..1", "..data");
        link("..data/token", "token");
        let script = format!("read go; cd {}; ln -s ..2 new; mv -T new ..data; echo done", volume.display());
        let mut kubelet = Command::new("sh");
        kubelet.args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut kubelet = kubelet.spawn().unwrap();
        // A data plane could not wait for it.
        let switches = Switches { calls: Switch::Off, files: Switch::Enforce };
        let report = data_plane(Files::Of(Places::common().file(volume.join("token")))).enter(switches);
        assert_eq!(report.lacks(), <[String; 0]>::default());

        let read = || fs::read_to_string(volume.join("token")).unwrap();
        assert_eq!(read(), "first");
        kubelet.stdin.take().unwrap().write_all(b"go\n").unwrap();
        let mut said = String::new();
        kubelet.stdout.take().unwrap().read_to_string(&mut said).unwrap();
        assert!(kubelet.wait().unwrap().success());
        assert_eq!((said.as_str(), read().as_str()), ("done\n", "second"));
    });
}

#[test]
fn a_place_that_is_not_there_yet_is_in_sight_when_it_is() {
    alone("a_place_that_is_not_there_yet_is_in_sight_when_it_is", || {
        let later = env::temp_dir().join("later");
        enter(&data_plane(Files::Of(Places::common().workshop(later.join("deeper")))));
        fs::create_dir_all(later.join("deeper")).unwrap();
        fs::write(later.join("deeper/file"), "").unwrap();
    });
}
