//! A dashboard, as Grafana takes it from a file, and what it asks for.

use serde_json::Value;

use super::{Asked, files, text};

/// What every dashboard lets one choose.
const SOURCE: &str = "${datasource}";

pub(super) struct Dashboard {
    pub(super) name: String,
    pub(super) it: Value,
}

impl Dashboard {
    /// All there are.
    pub(super) fn all() -> Vec<Self> {
        let paths = files("deploy/dashboards", "json");
        let read =
            |path: &String| Self { name: path.clone(), it: serde_json::from_str(&text(path)).unwrap() };
        paths.iter().map(read).collect()
    }

    pub(super) fn panels(&self) -> impl Iterator<Item = &Value> {
        self.it["panels"].as_array().unwrap().iter()
    }

    fn variables(&self) -> &Vec<Value> {
        self.it["templating"]["list"].as_array().unwrap()
    }

    /// The expressions of its panels.
    pub(super) fn asked(&self) -> Vec<Asked> {
        let of = |panel: &Value| {
            let place = format!("{}, panel {}", self.name, panel["title"]);
            let targets = panel["targets"].as_array().cloned().unwrap_or_default();
            let asked = move |target: &Value| Asked {
                place: place.clone(),
                expression: target["expr"].as_str().unwrap().to_owned(),
            };
            targets.iter().map(asked).collect::<Vec<_>>()
        };
        self.panels().flat_map(of).collect()
    }

    /// What the choices are made of: label_values(expression, label).
    pub(super) fn chosen_from(&self) -> Vec<Asked> {
        let of = |variable: &Value| {
            let inner = variable["definition"].as_str()?.strip_prefix("label_values(")?;
            let expression = inner.rsplit_once(',').unwrap().0.to_owned();
            Some(Asked { place: format!("{}, variable {}", self.name, variable["name"]), expression })
        };
        self.variables().iter().filter_map(of).collect()
    }

    /// What is wrong with a panel.
    pub(super) fn flaws(&self, panel: &Value) -> Vec<String> {
        let is_there = |value: &Value| value.as_str().is_some_and(|text| !text.trim().is_empty());
        let kind = panel["type"].as_str().unwrap();
        let shows_figures = !matches!(kind, "row" | "text");
        let targets = panel["targets"].as_array().cloned().unwrap_or_default();
        let from_elsewhere = |it: &Value| it["datasource"]["uid"] != SOURCE;
        let flaws = [
            (!is_there(&panel["title"]), "has no title"),
            (!is_there(&panel["description"]), "has no description"),
            (shows_figures && !is_there(&panel["fieldConfig"]["defaults"]["unit"]), "has no unit"),
            (shows_figures && targets.is_empty(), "asks for nothing"),
            (shows_figures && from_elsewhere(panel), "has a data source of its own"),
            (targets.iter().any(from_elsewhere), "asks another data source"),
        ];
        let place = format!("{}, panel {} ({})", self.name, panel["id"], panel["title"]);
        flaws.iter().filter(|(is_so, _)| *is_so).map(|(_, flaw)| format!("{place} {flaw}")).collect()
    }

    /// An expression with values in place of what is chosen; an error for what cannot be.
    pub(super) fn filled_in(&self, asked: &Asked) -> Result<String, String> {
        let names = self.variables().iter().map(|variable| variable["name"].as_str().unwrap());
        let times = [("$__rate_interval", "5m"), ("$__range", "1h")];
        let known =
            times.iter().fold(asked.expression.clone(), |text, (name, value)| text.replace(name, value));
        let filled = names.fold(known, |text, name| text.replace(&format!("${name}\""), ".*\""));
        if filled.contains('$') {
            Err(format!("{}: unknown variable in {filled}", asked.place))
        } else {
            Ok(filled)
        }
    }
}
