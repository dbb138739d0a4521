use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::slice;

use super::*;

/// A directory of a test's own, that goes with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str, files: &[&str]) -> Self {
        let scratch =
            Self(std::env::temp_dir().join(format!("culvert-source-{name}-{}", std::process::id())));
        let _ = fs::remove_dir_all(&scratch.0);
        fs::create_dir_all(&scratch.0).unwrap();
        for file in files {
            fs::create_dir_all(scratch.at(file).parent().unwrap()).unwrap();
            fs::write(scratch.at(file), "").unwrap();
        }
        scratch
    }

    fn at(&self, path: &str) -> PathBuf {
        self.0.join(path)
    }

    /// What is found in it, without its own name.
    fn found(&self, named: &[PathBuf]) -> Vec<String> {
        let sources = Source::all(named).unwrap();
        sources.iter().map(|it| it.name().replace(&format!("{}/", self.0.display()), "")).collect()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Why a file is not read that was found in a directory.
#[track_caller]
fn broken(path: PathBuf) -> String {
    match Source::Found(path).text() {
        Err(Unread::Broken(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn directories_are_searched_for_what_is_called_like_manifests() {
    let scratch = Scratch::new(
        "search",
        &["z.yaml", "b/c/a.yml", "b/x.json", "b/readme.md", ".git/no.yaml", "b/.hidden.yaml", "yaml"],
    );
    symlink(scratch.at("yaml"), scratch.at("linked.yaml")).unwrap();
    let named = [scratch.0.clone(), scratch.at("b/readme.md"), PathBuf::from("-")];
    assert_eq!(
        scratch.found(&named),
        ["b/c/a.yml", "b/x.json", "linked.yaml", "z.yaml", "b/readme.md", "stdin"]
    );
    let (missing, _) = Source::all(&[scratch.at("absent")]).unwrap_err();
    assert!(missing.ends_with("absent"));
}

#[test]
fn what_can_be_come_by_in_several_ways_is_there_once() {
    let scratch = Scratch::new("once", &["a.yaml", "b/c.yaml"]);
    symlink(scratch.at("a.yaml"), scratch.at("z.yaml")).unwrap();
    let named = [scratch.at("b/../a.yaml"), scratch.0.clone(), scratch.at("b"), "-".into(), "-".into()];
    assert_eq!(scratch.found(&named), ["b/../a.yaml", "b/c.yaml", "stdin"]);
}

#[test]
fn links_lead_neither_in_circles_nor_out_of_a_directory_that_was_named() {
    let scratch = Scratch::new("links", &["in/a.yaml", "out/b.yaml"]);
    for (to, link) in [("in", "circle"), ("out", "out"), ("out/b.yaml", "b.yaml"), ("in/a.yaml", "c.yaml")] {
        symlink(scratch.at(to), scratch.at("in").join(link)).unwrap();
    }
    symlink(scratch.at("in/self.yaml"), scratch.at("in/self.yaml")).unwrap();
    symlink(scratch.at("absent"), scratch.at("in/nowhere.yaml")).unwrap();
    let sources = Source::all(&[scratch.at("in")]).unwrap();
    let inside = |name: &str| scratch.at("in").join(name);
    let expected = [
        Source::Found(inside("a.yaml")),
        Source::Link(inside("b.yaml")),
        Source::Link(inside("circle")),
        Source::Found(inside("nowhere.yaml")),
        Source::Link(inside("out")),
        Source::Found(inside("self.yaml")),
    ];
    assert_eq!(sources, expected);
    assert_eq!(sources[1].text(), Err(Unread::Elsewhere));
    for name in ["nowhere.yaml", "self.yaml"] {
        assert!(broken(inside(name)).starts_with("the file cannot be read: "), "{name}");
    }
    // Who names a link has named what is there.
    assert_eq!(scratch.found(&[inside("out"), inside("b.yaml")]), ["in/out/b.yaml"]);
}

#[test]
fn nobody_waits_for_what_was_found() {
    let scratch = Scratch::new("pipes", &[]);
    nix::unistd::mkfifo(&scratch.at("fifo.yaml"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let _listening = UnixListener::bind(scratch.at("socket.yaml")).unwrap();
    assert_eq!(scratch.found(slice::from_ref(&scratch.0)), ["fifo.yaml", "socket.yaml"]);
    for path in [scratch.at("fifo.yaml"), scratch.at("socket.yaml"), PathBuf::from("/dev/zero")] {
        assert_eq!(broken(path), "the file cannot be read: it is a pipe, a socket or a device");
    }
}

#[test]
fn a_directory_that_is_too_deep_or_closed_is_told_and_the_others_are_searched() {
    let deep = vec!["d"; 40].join("/");
    let scratch = Scratch::new("deep", &["z.yaml"]);
    fs::create_dir_all(scratch.at(&deep)).unwrap();
    let found = scratch.found(slice::from_ref(&scratch.0));
    assert_eq!(found, [vec!["d"; DEEPEST + 1].join("/"), "z.yaml".to_owned()]);
    let sources = Source::all(slice::from_ref(&scratch.0)).unwrap();
    assert_eq!(sources[0].text(), Err(Unread::Broken("the directory is more than 32 deep".to_owned())));
}

#[test]
fn texts_of_other_encodings_and_names_of_any_bytes_are_told() {
    let scratch = Scratch::new("encodings", &[]);
    let write = |bytes: &[u8]| fs::write(scratch.at("a.yaml"), bytes).unwrap();
    write(b"a: \xff");
    assert_eq!(broken(scratch.at("a.yaml")), "the file is no UTF-8 text");
    for text in [&b"\xff\xfea\0"[..], b"\xfe\xff\0a"] {
        write(text);
        assert_eq!(broken(scratch.at("a.yaml")), "the file is written in UTF-16, and has to be in UTF-8");
    }
    fs::remove_file(scratch.at("a.yaml")).unwrap();
    let odd = scratch.0.join(std::ffi::OsString::from_vec(b"\xff.yaml".to_vec()));
    fs::write(&odd, "a: 1").unwrap();
    assert_eq!(scratch.found(slice::from_ref(&scratch.0)), ["\u{fffd}.yaml"]);
    assert_eq!(Source::Found(odd).text(), Ok("a: 1".to_owned()));
}
