//! Files come, change, go wrong, and quarrel.

use std::fs;

use culvert_discovery::catalog::{Catalog, Collection};

use super::*;

/// A directory that goes when the test ends, and what is known of it.
struct Bench {
    dir: PathBuf,
    folder: Folder,
    catalog: Catalog,
}

impl Bench {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("culvert-folder-{name}-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        Self { dir, folder: Folder::default(), catalog: Catalog::default() }
    }

    /// Writes files (`None` removes one) and takes them over; the text of a file is the names of its workloads.
    #[track_caller]
    fn edit(&mut self, files: &[(&str, Option<&str>)]) -> Vec<String> {
        let (mut changed, mut gone) = (Vec::new(), Vec::new());
        for (name, names) in files {
            let path = self.dir.join(name);
            match names {
                Some(names) => {
                    fs::write(&path, text(names)).unwrap();
                    changed.push(path);
                }
                None => {
                    fs::remove_file(&path).unwrap();
                    gone.push(path);
                }
            }
        }
        let problems =
            self.folder.take(changed.iter().map(|it| it.as_path()), gone.iter().map(|it| it.as_path()));
        self.catalog.apply(self.folder.changes());
        let dir = format!("{}/", self.dir.display());
        let shown = |(path, problem): &(PathBuf, Problem)| format!("{}: {problem}", path.display());
        problems.iter().map(|it| shown(it).replace(&dir, "")).collect()
    }

    #[track_caller]
    fn assert_names(&self, expected: &str) {
        let mut names: Vec<_> =
            self.catalog.all(Collection::Addresses).map(|(_, entry)| &*entry.name).collect();
        names.sort_unstable();
        assert_eq!(names.join(" "), expected);
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn text(names: &str) -> String {
    let workload =
        |name: &str| format!("- {{uid: {name}, namespace: ns, workloadIps: [], services: {{}}}}\n");
    match names {
        "" => "{}".to_owned(),
        "bad" => "workloads:\n- {nonsense: 1}\n".to_owned(),
        names => format!("workloads:\n{}", names.split(' ').map(workload).collect::<String>()),
    }
}

const NOTHING_WRONG: [&str; 0] = [];

#[test]
fn files_add_up_and_go() {
    let mut bench = Bench::new("sum");
    assert_eq!(bench.edit(&[("a", Some("1 2")), ("b", Some("3"))]), NOTHING_WRONG);
    bench.assert_names("1 2 3");
    assert_eq!(bench.edit(&[("a", Some("2 4"))]), NOTHING_WRONG);
    bench.assert_names("2 3 4");
    assert_eq!(bench.edit(&[("b", None), ("c", Some(""))]), NOTHING_WRONG);
    bench.assert_names("2 4");
}

#[test]
fn a_bad_file_keeps_what_it_said_and_stops_no_other() {
    let mut bench = Bench::new("bad");
    bench.edit(&[("a", Some("1")), ("b", Some("2"))]);
    let problems = bench.edit(&[("a", Some("bad")), ("b", Some("3"))]);
    assert_eq!(problems.len(), 1);
    assert!(problems[0].starts_with("a: line 2, column"), "{problems:?}");
    bench.assert_names("1 3");
    assert_eq!(bench.edit(&[("b", Some("4"))]), NOTHING_WRONG, "said once");
    assert_eq!(bench.edit(&[("a", Some("5"))]), NOTHING_WRONG);
    bench.assert_names("4 5");
}

#[test]
fn of_two_files_with_one_name_the_one_that_changed_gives_way() {
    let mut bench = Bench::new("quarrel");
    bench.edit(&[("a", Some("1")), ("b", Some("2"))]);
    let problems = bench.edit(&[("a", Some("1 2 3"))]);
    assert_eq!(problems, ["a: `2` is also defined in b; remove one of the two"]);
    bench.assert_names("1 2");
    assert_eq!(bench.edit(&[("c", Some("4"))]), NOTHING_WRONG, "said once");
    assert_eq!(bench.edit(&[("b", Some(""))]), NOTHING_WRONG);
    bench.assert_names("1 2 3 4");

    let problems = bench.edit(&[("b", Some("5")), ("c", Some("5"))]);
    assert_eq!(problems, ["c: `5` is also defined in b; remove one of the two"]);
    bench.assert_names("1 2 3 4 5");
    assert_eq!(bench.edit(&[("b", None)]), NOTHING_WRONG);
    bench.assert_names("1 2 3 5");
}

#[test]
fn a_name_moves_from_file_to_file() {
    let mut bench = Bench::new("move");
    bench.edit(&[("a", Some("1")), ("b", Some("2"))]);
    let before = bench.catalog.generation();
    assert_eq!(bench.edit(&[("a", Some("2")), ("b", Some("1"))]), NOTHING_WRONG);
    bench.assert_names("1 2");
    assert_eq!(bench.catalog.generation(), before, "nothing is different");
}

#[test]
fn one_that_gives_way_may_make_others_give_way() {
    let mut bench = Bench::new("chain");
    bench.edit(&[("a", Some("1")), ("b", Some("2")), ("c", Some("3"))]);
    // `b` cannot have 3, so it keeps 2, so `a` cannot have 2.
    let problems = bench.edit(&[("a", Some("2")), ("b", Some("3"))]);
    assert_eq!(problems.len(), 2, "{problems:?}");
    bench.assert_names("1 2 3");
    assert_eq!(bench.edit(&[("c", None)]), NOTHING_WRONG);
    bench.assert_names("2 3");
}

#[test]
fn a_workload_and_a_service_cannot_have_one_name() {
    let both = "workloads:\n- {uid: ns/web, namespace: ns, workloadIps: [], services: {}}\n\
                services:\n- {name: web, namespace: ns, hostname: web, vips: [], ports: {}}\n";
    let problem = content::read(both).unwrap_err();
    assert!(matches!(problem, Problem::Ambiguous { name } if &*name == "ns/web"));
}
