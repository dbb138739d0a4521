//! What the operator wants of it: two variables, the same ones for every program.

use std::env;

/// Whether something is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Switch {
    /// It is.
    #[default]
    Enforce,
    /// What it would refuse is written to the kernel's log, and happens.
    Log,
    /// It is not.
    Off,
}

/// Which parts are wanted. Capabilities and dumps are no question: there is no need for them that could come unexpectedly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Switches {
    /// The filter of system calls, by `CULVERT_SECCOMP`.
    pub calls: Switch,
    /// The restriction of files, by `CULVERT_LANDLOCK`.
    pub files: Switch,
}

/// A switch that is none.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{name}=`{value}`: use {choices}")]
pub struct Invalid {
    name: &'static str,
    value: String,
    choices: &'static str,
}

impl Switches {
    /// Reads both.
    ///
    /// # Errors
    /// When one of them says something else than there is.
    pub fn of_environment() -> Result<Self, Invalid> {
        Self::read(|name| env::var_os(name).map(|value| value.to_string_lossy().into_owned()))
    }

    fn read(said: impl Fn(&str) -> Option<String>) -> Result<Self, Invalid> {
        let switch = |name, choices, choose: fn(&str) -> Option<Switch>| {
            let value = said(name).unwrap_or_default();
            choose(&value).ok_or(Invalid { name, value, choices })
        };
        Ok(Self {
            calls: switch("CULVERT_SECCOMP", "`enforce`, `log` or `off`", |value| match value {
                "log" => Some(Switch::Log),
                other => enforce_or_off(other),
            })?,
            files: switch("CULVERT_LANDLOCK", "`enforce` or `off`", enforce_or_off)?,
        })
    }
}

fn enforce_or_off(value: &str) -> Option<Switch> {
    match value {
        "" | "enforce" => Some(Switch::Enforce),
        "off" => Some(Switch::Off),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(calls: &str, files: &str) -> Result<Switches, String> {
        let said = |name: &str| Some(if name == "CULVERT_SECCOMP" { calls } else { files }.to_owned());
        Switches::read(said).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_not_said_is_enforced() {
        let enforced = Switches { calls: Switch::Enforce, files: Switch::Enforce };
        assert_eq!(Switches::read(|_| None), Ok(enforced));
        assert_eq!(read("", ""), Ok(enforced));
        assert_eq!(read("enforce", "enforce"), Ok(enforced));
    }

    #[test]
    fn each_is_switched_by_itself() {
        assert_eq!(read("log", ""), Ok(Switches { calls: Switch::Log, files: Switch::Enforce }));
        assert_eq!(read("off", "off"), Ok(Switches { calls: Switch::Off, files: Switch::Off }));
    }

    #[test]
    fn a_typing_error_switches_nothing_off() {
        assert_eq!(read("of", ""), Err("CULVERT_SECCOMP=`of`: use `enforce`, `log` or `off`".into()));
        assert_eq!(read("", "log"), Err("CULVERT_LANDLOCK=`log`: use `enforce` or `off`".into()));
    }
}
