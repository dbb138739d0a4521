//! Decides what has to change in the directory of the CNI configuration.
//!
//! In goes what is there, out come changes in the order in which they have to be made: after each of them a runtime finds a
//! configuration that works. Nothing is read or written here.

use culvert_cni::Entry;

use super::Mode;
use super::chain::{Error, List, Single};
use super::directory::{self, Mark, Seen};
use crate::durable::Access;

/// Our own file, which sorts before all that CNIs use.
pub(super) const OWN: &str = "00-culvert.conflist";

/// What is put behind the name of a file that has been made into a list. Runtimes do not read it.
pub(super) const SAVED: &str = ".culvert-saved";

const LIST: &str = ".conflist";

/// What shall be in the directory.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) mode: Mode,
    /// The file to be joined, if not the first one.
    pub(super) file: Option<String>,
    pub(super) entry: Entry,
}

/// What is in it.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// What runtimes read, sorted.
    pub(super) files: Vec<Seen>,
    /// The names of links among that which lead nowhere.
    pub(super) dangling: Vec<String>,
    /// The names of other files.
    pub(super) others: Vec<String>,
}

/// One change.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// A file gets this content, behind whatever links to it. `over` is what was read: a file that is another one by now stays.
    Write {
        name: String,
        text: String,
        access: Access,
        over: Option<Mark>,
    },
    /// A file gets another name: nobody else's, unless `over` says what it was.
    Rename {
        from: String,
        to: String,
        over: Option<Mark>,
    },
    Remove {
        name: String,
    },
}

/// What is to be done, and said.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) changes: Vec<Change>,
    /// Why the plugin is not in the configuration when all is done.
    pub(super) missing: Option<String>,
    /// What is odd.
    pub(super) warnings: Vec<String>,
}

/// A file that makes sense.
enum Content<'t> {
    List(List<'t>),
    Single(Single<'t>),
}

struct Known<'t> {
    seen: &'t Seen,
    content: Content<'t>,
}

impl Known<'_> {
    fn list(&self) -> Option<&List<'_>> {
        match &self.content {
            Content::List(list) => Some(list),
            Content::Single(_) => None,
        }
    }

    fn foreign_version(&self) -> Option<&str> {
        match &self.content {
            Content::List(list) => list.foreign_version(),
            Content::Single(single) => single.foreign_version(),
        }
    }
}

/// What has to be done so that the plugin is in the configuration that runtimes use.
pub(super) fn install(listing: &Listing, wanted: &Wanted) -> Plan {
    let mut plan = Plan::default();
    let known = understand(listing, &mut plan);
    let nowhere = |name| {
        format!("{name} is skipped: it is a link that leads nowhere, as seen from the agent's container")
    };
    plan.warnings.extend(listing.dangling.iter().map(nowhere));
    let Some(target) = target(listing, &known, wanted) else {
        nothing_to_join(listing, wanted, &mut plan);
        return plan;
    };
    if let Some(version) = target.foreign_version() {
        plan.missing = Some(format!(
            "{} speaks version {version:?} of CNI, which the plugin does not: pods would not start",
            target.seen.name
        ));
        return plan;
    }
    match (wanted.mode, &target.content) {
        (Mode::Own, content) => own(listing, target.seen, content, wanted, &mut plan),
        (Mode::Append, Content::List(list)) => {
            let made_from = list.made_from().map(ToOwned::to_owned);
            let entry = Entry { made_from, ..wanted.entry.clone() };
            write(target.seen, list.with(&entry), &mut plan);
        }
        (Mode::Append, Content::Single(single)) => convert(listing, target.seen, single, wanted, &mut plan),
    }
    if plan.missing.is_none() {
        release_others(listing, &known, target.seen, wanted.mode, &mut plan);
    }
    plan
}

/// What has to be done so that nothing of ours is left.
pub(super) fn remove(listing: &Listing) -> Plan {
    let mut plan = Plan::default();
    for file in understand(listing, &mut Plan::default()) {
        release(listing, &file, &mut plan);
    }
    for name in listing.files.iter().map(|seen| &seen.name).filter(|name| *name == OWN) {
        plan.changes.push(Change::Remove { name: name.clone() });
    }
    let restored = |name: &String| {
        plan.changes.iter().any(|change| matches!(change, Change::Rename { from, .. } if from == name))
    };
    let left = listing.others.iter().filter(|name| !restored(name));
    let leftovers: Vec<_> = left.filter_map(|name| leftover(listing, name)).collect();
    plan.changes.extend(leftovers);
    plan
}

/// What becomes of a file that was put aside, and that no list brings back. The last copy of a configuration never goes.
fn leftover(listing: &Listing, saved: &str) -> Option<Change> {
    let original = saved.strip_suffix(SAVED).filter(|name| directory::is_read(name))?;
    let name = saved.to_owned();
    if makes_sense(listing, original) || listing.files.iter().any(|seen| is_made_from(seen, original)) {
        return Some(Change::Remove { name });
    }
    // Its owner is writing it, or has another list in its place by now, which must not lose against an old file.
    if is_there(listing, original) || makes_sense(listing, &list_name(original)) {
        return None;
    }
    Some(Change::Rename { from: name, to: original.to_owned(), over: None })
}

/// All files of others that make sense.
fn understand<'t>(listing: &'t Listing, plan: &mut Plan) -> Vec<Known<'t>> {
    let mut known = Vec::new();
    for seen in listing.files.iter().filter(|seen| seen.name != OWN) {
        match content(seen) {
            Ok(content) => known.push(Known { seen, content }),
            Err(error) => plan.warnings.push(format!("{} is skipped: {error}", seen.name)),
        }
    }
    known
}

fn content(seen: &Seen) -> Result<Content<'_>, Error> {
    let text = seen.text.as_deref().ok_or(Error::NoText)?;
    // As runtimes do: it is the name that makes a file a list.
    if seen.name.ends_with(LIST) {
        List::read(text).map(Content::List)
    } else {
        Single::read(text).map(Content::Single)
    }
}

/// The file that runtimes would use if we had none.
fn target<'k, 't>(listing: &Listing, known: &'k [Known<'t>], wanted: &Wanted) -> Option<&'k Known<'t>> {
    // A list that was made of a file which its owner has written again.
    let outdated = |file: &Known<'_>| {
        file.list().and_then(List::made_from).is_some_and(|name| makes_sense(listing, name))
    };
    let named = |file: &Known<'_>| {
        wanted.file.as_ref().is_none_or(|name| file.seen.name == *name || file.seen.name == list_name(name))
    };
    let ours_alone = |file: &Known<'_>| file.list().is_some_and(|list| list.foreign() == 0);
    known.iter().find(|file| named(file) && !outdated(file) && !ours_alone(file))
}

fn nothing_to_join(listing: &Listing, wanted: &Wanted, plan: &mut Plan) {
    let own = listing.files.iter().find(|seen| seen.name == OWN);
    let list = own.and_then(|seen| Some((seen, List::read(seen.text.as_deref()?).ok()?)));
    match (wanted.mode, list) {
        // Left in place: pods must not start without the plugin when the CNI is being replaced.
        (Mode::Own, Some((seen, list))) => {
            write(seen, list.with(&wanted.entry), plan);
            plan.warnings.push(format!("the CNI's own configuration is gone; {OWN} stays as it is"));
        }
        (Mode::Own | Mode::Append, _) => {
            plan.missing = Some(match &wanted.file {
                Some(name) => format!("there is no valid CNI configuration {name} yet"),
                None => {
                    "there is no valid CNI configuration yet; is a CNI installed on this node?".to_owned()
                }
            });
        }
    }
}

fn own(listing: &Listing, source: &Seen, content: &Content<'_>, wanted: &Wanted, plan: &mut Plan) {
    let text = match content {
        Content::Single(single) => single.with(&wanted.entry),
        Content::List(list) => list.with(&wanted.entry),
    };
    if source.name.as_str() < OWN {
        plan.warnings.push(format!("{} sorts before {OWN}, so runtimes use it and not ours", source.name));
    }
    match listing.files.iter().find(|seen| seen.name == OWN) {
        Some(seen) => write(&Seen { access: source.access, ..seen.clone() }, text, plan),
        None => {
            plan.changes.push(Change::Write { name: OWN.to_owned(), text, access: source.access, over: None })
        }
    }
}

/// Makes a list of a file with a single plugin, and puts that file aside.
fn convert(listing: &Listing, file: &Seen, single: &Single<'_>, wanted: &Wanted, plan: &mut Plan) {
    let name = list_name(&file.name);
    let entry = Entry { made_from: Some(file.name.clone()), ..wanted.entry.clone() };
    let text = single.with(&entry);
    match listing.files.iter().find(|seen| seen.name == name) {
        Some(there) if !is_made_from(there, &file.name) => {
            plan.missing = Some(format!(
                "{} cannot be made into a list, because {name} is there too; remove one of them, or use --cni-mode own",
                file.name
            ));
            return;
        }
        Some(there) => write(&Seen { access: file.access, ..there.clone() }, text, plan),
        None => plan.changes.push(Change::Write { name, text, access: file.access, over: None }),
    }
    let to = format!("{}{SAVED}", file.name);
    plan.changes.push(Change::Rename { from: file.name.clone(), to, over: Some(file.mark) });
}

fn is_made_from(seen: &Seen, name: &str) -> bool {
    let list = seen.text.as_deref().and_then(|text| List::read(text).ok());
    list.is_some_and(|list| list.made_from() == Some(name))
}

/// Takes our entry out of all files but the one that counts.
fn release_others(listing: &Listing, known: &[Known<'_>], target: &Seen, mode: Mode, plan: &mut Plan) {
    let converted = list_name(&target.name);
    for file in known {
        // Other links to the target are the target.
        let same = file.seen.name == converted || file.seen.mark == target.mark;
        let counts = mode == Mode::Append && same;
        if !counts {
            release(listing, file, plan);
        }
    }
    if mode == Mode::Append && is_there(listing, OWN) {
        plan.changes.push(Change::Remove { name: OWN.to_owned() });
    }
}

/// Takes our entry out of a file, and brings back what the file was made from.
fn release(listing: &Listing, file: &Known<'_>, plan: &mut Plan) {
    let Some(list) = file.list().filter(|list| list.has_ours()) else { return };
    let seen = file.seen;
    let gone = Change::Remove { name: seen.name.clone() };
    match list.made_from() {
        _ if list.foreign() > 1 => write(seen, list.without(), plan),
        None if list.foreign() == 0 => plan.changes.push(gone),
        None => write(seen, list.without(), plan),
        // Its owner is writing it, and has not got far: runtimes skip it, and use the list.
        Some(original) if is_there(listing, original) && !makes_sense(listing, original) => {
            write(seen, list.without(), plan);
        }
        Some(original) => {
            plan.changes.extend(bring_back(listing, original, list, seen.access));
            plan.changes.push(gone);
        }
    }
}

/// The file with a single plugin that a list was made from, unless it is there.
fn bring_back(listing: &Listing, original: &str, list: &List<'_>, access: Access) -> Option<Change> {
    let saved = format!("{original}{SAVED}");
    // A name out of a file: it must not lead elsewhere.
    if is_there(listing, original) || original.contains('/') {
        return None;
    }
    if listing.others.contains(&saved) {
        return Some(Change::Rename { from: saved, to: original.to_owned(), over: None });
    }
    let text = format!("{}\n", list.first_foreign()?);
    Some(Change::Write { name: original.to_owned(), text, access, over: None })
}

/// Changes the file if that is a change.
fn write(seen: &Seen, text: String, plan: &mut Plan) {
    if seen.text.as_deref() != Some(&text) {
        let Seen { name, access, mark, .. } = seen.clone();
        plan.changes.push(Change::Write { name, text, access, over: Some(mark) });
    }
}

fn is_there(listing: &Listing, name: &str) -> bool {
    listing.files.iter().any(|seen| seen.name == name) || listing.dangling.iter().any(|link| link == name)
}

fn makes_sense(listing: &Listing, name: &str) -> bool {
    listing.files.iter().any(|seen| seen.name == name && content(seen).is_ok())
}

/// What a file is called once it is a list.
fn list_name(name: &str) -> String {
    let stem = name.strip_suffix(".conf").or_else(|| name.strip_suffix(".json"));
    format!("{}{LIST}", stem.or_else(|| name.strip_suffix(LIST)).unwrap_or(name))
}
