//! A CNI configuration as text: which plugins are in it, and what it is with our entry and without.
//!
//! All is done to the text, so that keys, order and white space stay as their owner wrote them, and what was put in can be taken out
//! without a trace.

use std::ops::Range;

use culvert_cni::{Entry, PLUGIN, VERSIONS};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// Why a file is no configuration, or none that can be joined.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("it is empty")]
    Empty,
    #[error("it is not text of a reasonable length")]
    NoText,
    #[error("it makes no sense: {0}")]
    Json(#[from] serde_json::Error),
    #[error("it has no plugins")]
    NoPlugins,
}

/// A list of plugins.
#[derive(Debug)]
pub(super) struct List<'t> {
    text: &'t str,
    version: String,
    plugins: Vec<Plugin>,
}

/// One plugin of a list: where it is in the text, and what matters of it.
#[derive(Debug)]
struct Plugin {
    span: Range<usize>,
    is_ours: bool,
    made_from: Option<String>,
}

/// A single plugin, which is not a list.
#[derive(Debug)]
pub(super) struct Single<'t> {
    text: &'t str,
    version: Option<String>,
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListText<'t> {
    #[serde(default)]
    cni_version: String,
    #[serde(rename = "name")]
    _name: String,
    #[serde(borrow)]
    plugins: Vec<&'t RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SingleText {
    cni_version: Option<String>,
    name: String,
    #[serde(rename = "type")]
    _kind: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PluginText {
    #[serde(rename = "type")]
    kind: String,
    made_from: Option<String>,
}

impl<'t> List<'t> {
    pub(super) fn read(text: &'t str) -> Result<Self, Error> {
        if text.trim().is_empty() {
            return Err(Error::Empty);
        }
        let list: ListText<'t> = serde_json::from_str(text)?;
        let plugin = |raw: &&'t RawValue| Plugin::read(text, raw.get());
        let plugins = list.plugins.iter().map(plugin).collect::<Result<Vec<_>, _>>()?;
        if plugins.is_empty() {
            return Err(Error::NoPlugins);
        }
        Ok(Self { text, version: list.cni_version, plugins })
    }

    /// The version of CNI it speaks, if our plugin does not speak it.
    pub(super) fn foreign_version(&self) -> Option<&str> {
        (!VERSIONS.contains(&self.version.as_str())).then_some(&self.version)
    }

    /// Whether our entry is in it.
    pub(super) fn has_ours(&self) -> bool {
        self.plugins.iter().any(|plugin| plugin.is_ours)
    }

    /// The file with a single plugin that it was made from, by us.
    pub(super) fn made_from(&self) -> Option<&str> {
        self.plugins.iter().find_map(|plugin| plugin.made_from.as_deref())
    }

    /// Plugins that are not ours.
    pub(super) fn foreign(&self) -> usize {
        self.plugins.iter().filter(|plugin| !plugin.is_ours).count()
    }

    /// The first plugin that is not ours, as it is written.
    pub(super) fn first_foreign(&self) -> Option<&'t str> {
        self.plugins.iter().find(|plugin| !plugin.is_ours).map(|plugin| &self.text[plugin.span.clone()])
    }

    /// The list with exactly this entry of ours: where it was, or else behind all others.
    pub(super) fn with(&self, entry: &Entry) -> String {
        let Some(first) = self.plugins.iter().position(|plugin| plugin.is_ours) else {
            return self.appended(entry);
        };
        let span = &self.plugins[first].span;
        let same = serde_json::from_str(&self.text[span.clone()]).ok() == serde_json::to_value(entry).ok();
        let mut text = self.without_from(first + 1);
        if !same {
            text.replace_range(span.clone(), &compact(entry));
        }
        text
    }

    /// The list without any entry of ours.
    pub(super) fn without(&self) -> String {
        self.without_from(0)
    }

    fn appended(&self, entry: &Entry) -> String {
        let last = &self.plugins[self.plugins.len() - 1].span;
        let before = &self.text[..last.start];
        // The plugin goes on a line of its own where the others do.
        let space = &before[before.trim_end_matches([' ', '\t', '\r', '\n']).len()..];
        let (head, tail) = self.text.split_at(last.end);
        format!("{head},{space}{}{tail}", compact(entry))
    }

    fn without_from(&self, first: usize) -> String {
        let mut text = self.text.to_owned();
        // From behind, so that the places of those before stay what they are.
        for index in (first..self.plugins.len()).rev().filter(|index| self.plugins[*index].is_ours) {
            let span = &self.plugins[index].span;
            let cut = match (index.checked_sub(1), self.plugins.get(index + 1)) {
                (Some(previous), _) => self.plugins[previous].span.end..span.end,
                (None, Some(next)) => span.start..next.span.start,
                (None, None) => span.clone(),
            };
            text.replace_range(cut, "");
        }
        text
    }
}

impl Plugin {
    /// `raw` is a part of `text`.
    fn read(text: &str, raw: &str) -> Result<Self, Error> {
        let start = raw.as_ptr() as usize - text.as_ptr() as usize;
        let plugin: PluginText = serde_json::from_str(raw)?;
        let is_ours = plugin.kind == PLUGIN;
        let made_from = plugin.made_from.filter(|_| is_ours);
        Ok(Self { span: start..start + raw.len(), is_ours, made_from })
    }
}

impl<'t> Single<'t> {
    pub(super) fn read(text: &'t str) -> Result<Self, Error> {
        if text.trim().is_empty() {
            return Err(Error::Empty);
        }
        let SingleText { cni_version, name, .. } = serde_json::from_str(text)?;
        Ok(Self { text, version: cni_version, name })
    }

    /// A list of the plugin and ours.
    pub(super) fn with(&self, entry: &Entry) -> String {
        // The first version in which plugins are chained by results as they are today.
        let version = Value::from(self.version.as_deref().unwrap_or("0.3.1"));
        let (name, plugin, ours) = (Value::from(self.name.as_str()), self.text.trim(), compact(entry));
        format!(
            "{{\n  \"cniVersion\": {version},\n  \"name\": {name},\n  \"plugins\": [\n{plugin},\n{ours}\n  ]\n}}\n"
        )
    }

    /// The version of CNI it speaks, if our plugin does not speak it.
    pub(super) fn foreign_version(&self) -> Option<&str> {
        self.version.as_deref().filter(|version| !VERSIONS.contains(version))
    }
}

fn compact(entry: &Entry) -> String {
    serde_json::to_string(entry).expect("a struct of strings is JSON")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::install::tests::entry;

    const LISTS: [&str; 4] = [
        r#"{"cniVersion":"0.3.1","name":"n","plugins":[{"type":"a"}]}"#,
        "{\n  \"name\": \"n\",\n  \"cniVersion\": \"1.0.0\",\n  \"plugins\": [\n    {\"type\": \"a\", \"z\": 1, \"b\": {\"plugins\": []}},\n\n    { \"type\": \"b\" }\n  ],\n  \"x\": [1.50, \"}]\"]\n}\n",
        "{\"plugins\" : [ {\"type\":\"a]}\"}\t, {\"type\":\"b\"} ]\r\n,\"name\":\"\\u00e9\",\"cniVersion\":\"0.4.0\"}",
        "  {\"name\":\"n\",\"cniVersion\":\"0.3.0\",\"plugins\":[\n{\"type\":\"ä\"}\n]}",
    ];

    fn with(text: &str, entry: &Entry) -> String {
        List::read(text).unwrap().with(entry)
    }

    #[test]
    fn an_entry_goes_in_behind_all_others_and_out_without_a_trace() {
        for text in LISTS {
            let joined = with(text, &entry());
            let (old, new): (Value, Value) =
                (serde_json::from_str(text).unwrap(), serde_json::from_str(&joined).unwrap());
            let mut wanted = old;
            wanted["plugins"].as_array_mut().unwrap().push(serde_json::to_value(entry()).unwrap());
            assert_eq!(new, wanted);
            assert_eq!(with(&joined, &entry()), joined, "again");
            assert_eq!(List::read(&joined).unwrap().without(), text);
        }
    }

    #[test]
    fn an_old_entry_is_replaced_where_it_is_and_duplicates_go() {
        let old = r#"{"type":"culvert-cni","agentSocket":"/old"}"#;
        for (text, wanted) in [
            (format!("[{old}, {{\"type\":\"a\"}}]"), "[OURS, {\"type\":\"a\"}]"),
            (
                format!("[{{\"type\":\"a\"}},{old} ,{{\"type\":\"b\"}}, {old}]"),
                "[{\"type\":\"a\"},OURS ,{\"type\":\"b\"}]",
            ),
        ] {
            let list =
                |plugins: &str| format!("{{\"cniVersion\":\"1.0.0\",\"name\":\"n\",\"plugins\":{plugins}}}");
            let ours = compact(&entry());
            assert_eq!(with(&list(&text), &entry()), list(&wanted.replace("OURS", &ours)));
            let without = List::read(&list(&text)).unwrap().without();
            assert!(!List::read(&without).unwrap().has_ours());
        }
    }

    #[test]
    fn an_entry_that_means_the_same_is_not_rewritten() {
        let spaced = serde_json::to_string_pretty(&entry()).unwrap();
        let text =
            format!("{{\"cniVersion\":\"1.0.0\",\"name\":\"n\",\"plugins\":[{{\"type\":\"a\"}},{spaced}]}}");
        assert_eq!(with(&text, &entry()), text);
    }

    #[test]
    fn what_runtimes_do_not_take_is_not_taken() {
        for text in [
            "",
            " \n",
            "{",
            "[]",
            "{}",
            r#"{"name":"n"}"#,
            r#"{"name":"n","plugins":[]}"#,
            r#"{"name":"n","plugins":[{}]}"#,
            r#"{"plugins":[{"type":"a"}]}"#,
            r#"{"name":"n","plugins":[{"type":"a"}]"#,
            r#"{"name":"n","plugins":[{"type":"a"}],"plugins":[{"type":"b"}]}"#,
        ] {
            assert!(List::read(text).is_err(), "{text}");
        }
        for text in ["", "{}", r#"{"name":"n"}"#, r#"{"type":"a"}"#] {
            assert!(Single::read(text).is_err(), "{text}");
        }
    }
}
