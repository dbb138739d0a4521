//! Which capabilities stay (capabilities(7)).
//!
//! Five sets are brought down: effective and permitted (what the thread may do), inheritable and ambient (what it hands on), and the bounding
//! set, which is what a program of root's gets that is started.

use std::io;

use caps::{CapSet, Capability, CapsHashSet};

/// What there is afterwards.
#[derive(Debug, Clone, Default)]
pub struct Kept {
    /// What the thread may do.
    pub effective: Vec<Capability>,
    /// What should have gone out of the bounding set and could not, for lack of `CAP_SETPCAP`. Nothing can be gained through it
    /// under `no_new_privs`.
    pub bounding: Vec<Capability>,
}

/// Gives up all capabilities but these. Those that are not there are not missed: whoever needs them says so when he does.
///
/// # Errors
/// The kernel's refusal.
pub fn keep(needed: &[Capability]) -> io::Result<Kept> {
    let permitted = read(CapSet::Permitted)?;
    let kept: CapsHashSet = needed.iter().copied().filter(|one| permitted.contains(one)).collect();
    let bounding = bound(&kept)?;
    caps::clear(None, CapSet::Ambient).map_err(io::Error::other)?;
    caps::clear(None, CapSet::Inheritable).map_err(io::Error::other)?;
    caps::set(None, CapSet::Effective, &kept).map_err(io::Error::other)?;
    caps::set(None, CapSet::Permitted, &kept).map_err(io::Error::other)?;
    Ok(Kept { effective: in_order(kept), bounding })
}

/// Takes all others out of the bounding set; those that stay come back.
fn bound(kept: &CapsHashSet) -> io::Result<Vec<Capability>> {
    let surplus = read(CapSet::Bounding)?.into_iter().filter(|one| !kept.contains(one));
    Ok(in_order(surplus.filter(|one| caps::drop(None, CapSet::Bounding, *one).is_err())))
}

fn read(set: CapSet) -> io::Result<CapsHashSet> {
    caps::read(None, set).map_err(io::Error::other)
}

fn in_order(set: impl IntoIterator<Item = Capability>) -> Vec<Capability> {
    let mut all: Vec<_> = set.into_iter().collect();
    all.sort_unstable_by_key(Capability::index);
    all
}
