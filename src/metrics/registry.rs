//! All families: what they are called, what is said of them, and where their series are.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crate::collected::Collected;
use crate::group::Group;
use crate::series::Shape;
use crate::table::{Limits, Table};
use crate::{Settings, labels};

/// What is looked up when somebody asks.
pub(crate) type Look = Box<dyn Fn() -> Vec<Collected> + Send + Sync>;

/// Buckets of histograms about which nothing is said: from a request in memory to one somebody waits for, in seconds.
const BUCKETS: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

const OVERFLOWED: &str = "culvert_metrics_overflow_total";

pub(crate) struct Registry {
    limits: Limits,
    buckets: Vec<(&'static str, &'static [f64])>,
    families: RwLock<HashMap<String, Family>>,
    /// By the name that was given, whether such a family was ever counted or not.
    help: RwLock<HashMap<String, Arc<str>>>,
    looks: Mutex<Vec<Arc<Look>>>,
}

/// Where the numbers of a family are.
#[derive(Debug, Clone)]
pub(crate) struct Family {
    pub(crate) table: Arc<Table>,
    /// Which of the counters of each series it is.
    pub(crate) column: usize,
}

impl Registry {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            limits: Limits::of(&settings),
            buckets: settings.buckets,
            families: RwLock::default(),
            help: RwLock::default(),
            looks: Mutex::default(),
        }
    }

    pub(crate) fn include(&self, group: &Group) {
        group.table.limit(self.limits);
        let mut families = self.families.write().unwrap_or_else(PoisonError::into_inner);
        for (column, name) in group.names.iter().enumerate() {
            families.insert((*name).to_owned(), Family { table: Arc::clone(&group.table), column });
        }
    }

    pub(crate) fn collect(&self, look: Look) {
        self.looks.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::new(look));
    }

    pub(crate) fn describe(&self, name: &str, help: &str) {
        let mut all = self.help.write().unwrap_or_else(PoisonError::into_inner);
        all.insert(family_name(name), help.into());
    }

    /// Finds or makes a family.
    pub(crate) fn family(&self, name: &str, shape: impl FnOnce() -> Shape) -> Family {
        let families = self.families.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(family) = families.get(name) {
            return family.clone();
        }
        drop(families);
        let mut families = self.families.write().unwrap_or_else(PoisonError::into_inner);
        let make = || Family { table: Arc::new(Table::new(shape(), Some(self.limits))), column: 0 };
        families.entry(name.to_owned()).or_insert_with(make).clone()
    }

    /// The upper bounds of a histogram's buckets.
    pub(crate) fn bounds(&self, name: &str) -> &'static [f64] {
        self.buckets.iter().find(|(of, _)| *of == name).map_or(BUCKETS, |(_, bounds)| bounds)
    }

    /// The families that are counted, with the names they are shown by.
    pub(crate) fn families(&self) -> Vec<(String, Family)> {
        let families = self.families.read().unwrap_or_else(PoisonError::into_inner);
        families.iter().map(|(name, family)| (family_name(name), family.clone())).collect()
    }

    pub(crate) fn help(&self, name: &str) -> Option<Arc<str>> {
        self.help.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Looks up what nobody counts.
    pub(crate) fn look(&self) -> Vec<Collected> {
        let looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut all: Vec<_> = looks.iter().flat_map(|look| look()).collect();
        all.push(self.overflowed());
        all
    }

    fn overflowed(&self) -> Collected {
        let help = "Series asked for that there was no room for, by the first family they are of (unstable).";
        let families = self.families.read().unwrap_or_else(PoisonError::into_inner);
        let firsts = families.iter().filter(|(_, family)| family.column == 0);
        let mut counted: Vec<_> =
            firsts.map(|(name, family)| (name, family.table.overflowed())).filter(|it| it.1 > 0).collect();
        counted.sort_unstable();
        counted.into_iter().fold(Collected::counter(OVERFLOWED, help), |all, (name, number)| {
            all.with(&[("family", name)], number as f64)
        })
    }
}

/// What a family may be called.
fn family_name(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    // A colon is allowed in the names of families, and in those alone.
    for (at, part) in name.split(':').enumerate() {
        if at > 0 {
            text.push(':');
        }
        match at {
            0 => labels::push_name(&mut text, part),
            _ => text.extend(part.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })),
        }
    }
    text
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("limits", &self.limits).finish_non_exhaustive()
    }
}
