//! What a container runtime says to the CNI plugin, in its environment and on stdin.
//!
//! The bytes are the variables, each with its length, and then the configuration. What a runtime hears is an error of the specification,
//! or the result of the plugin before, with no word changed, and that for a configuration and variables a second reader understands as
//! well. The agent is asked about the pod the runtime names, or the runtime hears an error: a pod is never passed over.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

use culvert_cni::message::Request;
use culvert_cni::{Call, Command, Error, VERSIONS, Variables};
use serde_json::Value;

use crate::input::Input;
use crate::memory::Bound;

/// What an error may say, its texts escaped.
const LONGEST_ERROR: usize = 32 << 10;

/// Codes of the specification that runtimes know of.
const CODES: [u64; 6] = [1, 4, 5, 6, 7, 11];

/// Beginnings of what names a pod.
const OF_A_POD: [&str; 3] = ["K8S_POD_NAMESPACE", "K8S_POD_NAME", "K8S_POD_UID"];

/// The bytes are what a runtime says.
pub fn run(data: &[u8]) {
    let bound = Bound::new((128 << 10) + 64 * data.len());
    let said = Said::read(data);
    match said.answer() {
        Err(error) => is_error(&error),
        Ok(None) => assert!(said.command().is_some_and(|it| ["VERSION", "STATUS", "GC"].contains(&it))),
        Ok(Some((call, result, request))) => {
            // What is too deep for the second reader is left to the first.
            if let Ok(config) = serde_json::from_slice::<Value>(said.stdin) {
                said.is_understood(&config, &call, &result, request.as_ref());
            }
            said.names_the_pod(request.as_ref());
        }
    }
    bound.check();
}

/// What a runtime says.
struct Said<'i> {
    variables: [Option<&'i [u8]>; 5],
    stdin: &'i [u8],
}

const NAMES: [&str; 5] = ["CNI_COMMAND", "CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_ARGS"];

impl<'i> Said<'i> {
    fn read(data: &'i [u8]) -> Self {
        let mut input = Input::new(data);
        let variables = NAMES.map(|_| match input.byte() {
            255 => None,
            length => Some(input.take(length.into())),
        });
        Self { variables, stdin: input.take(usize::MAX) }
    }

    fn variable(&self, name: &str) -> Option<&'i [u8]> {
        let place = NAMES.iter().position(|it| *it == name)?;
        self.variables[place]
    }

    fn text(&self, name: &str) -> Option<&'i str> {
        str::from_utf8(self.variable(name)?).ok()
    }

    fn command(&self) -> Option<&'i str> {
        self.text("CNI_COMMAND")
    }

    /// What the plugin makes of it before it asks anybody.
    fn answer(&self) -> Result<Option<(Call, String, Option<Request>)>, Error> {
        let variables = Variables::of(|name| Some(OsString::from_vec(self.variable(name)?.to_vec())));
        match Command::of(&variables)? {
            Command::Version | Command::Status | Command::Gc => Ok(None),
            Command::Add | Command::Check | Command::Del => {
                let call = Call::read(&variables, self.stdin)?;
                let result = if self.command() == Some("DEL") { String::new() } else { call.result()? };
                let request = call.pod().map(|pod| call.request(pod)).transpose()?;
                Ok(Some((call, result, request)))
            }
        }
    }

    /// A configuration that is understood is one, and nothing else was made of it.
    fn is_understood(&self, config: &Value, call: &Call, result: &str, request: Option<&Request>) {
        let text = |name: &str| config.get(name).and_then(Value::as_str);
        let version = text("cniVersion").expect("it has a version");
        assert!(VERSIONS.contains(&version) && version == call.version, "{version}");
        for name in ["type", "agentSocket", "stateFile"] {
            assert!(text(name).is_some(), "it has no {name}");
        }
        let previous = config.get("prevResult").cloned().unwrap_or_default();
        if self.command() != Some("DEL") {
            let result: Value = serde_json::from_str(result).expect("it was JSON before");
            assert_eq!(result, with_version(previous.clone(), version), "another result");
        }
        let Some(request) = request else { return };
        let addresses = addresses(&previous);
        assert!(request.addresses.len() <= 64 && request.addresses.iter().all(|it| addresses.contains(it)));
        let (namespace, name) = (&*request.pod_namespace, &*request.pod_name);
        if call.entry.exempts(namespace, name) {
            assert!(is_exempt(config, namespace, name), "{namespace}/{name} is exempt");
        }
    }

    /// The agent is asked about whom the runtime names, and in words that mean the same to it.
    fn names_the_pod(&self, request: Option<&Request>) {
        let arguments = self.variable("CNI_ARGS").unwrap_or_default();
        let pairs: Vec<_> = arguments.split(|byte| *byte == b';').collect();
        let values = |key: &str| -> BTreeSet<&[u8]> {
            pairs.iter().filter_map(|pair| pair.strip_prefix(key.as_bytes())?.strip_prefix(b"=")).collect()
        };
        let Some(request) = request else {
            for key in OF_A_POD {
                assert!(
                    values(key).iter().all(|value| value.is_empty()),
                    "{key} is set, and nobody is asked"
                );
            }
            return;
        };
        let said = [&request.pod_namespace, &request.pod_name].map(|text| text.as_bytes());
        for (key, said) in OF_A_POD.into_iter().zip(said) {
            assert_eq!(values(key), [said].into(), "{key}");
        }
        assert_eq!(Some(&*request.container_id), self.text("CNI_CONTAINERID"));
        assert_eq!(Some(&*request.ifname), self.text("CNI_IFNAME"));
        let netns = self.text("CNI_NETNS").filter(|text| !text.is_empty());
        assert_eq!(request.netns.as_deref(), netns);
        assert!(netns.is_some() || self.command() == Some("DEL"), "it has no namespace");
        for name in [&request.pod_namespace, &request.pod_name] {
            assert!(!name.contains(['/', '%', '?', '\0', '\n']) && *name != "..", "{name} in a path");
        }
        let body = serde_json::to_vec(request).expect("it can be said");
        let heard: Request = serde_json::from_slice(&body).expect("it was said by us");
        assert_eq!(heard, *request);
        assert_eq!(heard.flaw(), None, "the agent would not believe it");
    }
}

/// An error is one of the specification.
fn is_error(error: &Error) {
    let json = error.to_json();
    assert!(json.len() <= LONGEST_ERROR, "{} bytes of error", json.len());
    let json: Value = serde_json::from_str(&json).expect("an error is JSON");
    let text = |name: &str| json.get(name).and_then(Value::as_str).unwrap_or_default();
    assert!(VERSIONS.contains(&text("cniVersion")) && !text("msg").is_empty(), "{json}");
    assert!(json.get("code").and_then(Value::as_u64).is_some_and(|code| CODES.contains(&code)), "{json}");
    let shown = error.to_string();
    assert!(!shown.chars().any(|it| it.is_control() && it != '\n'), "{shown:?} on a terminal");
}

/// A result says which version it is of.
fn with_version(mut result: Value, version: &str) -> Value {
    if let Value::Object(keys) = &mut result {
        keys.entry("cniVersion").or_insert_with(|| version.into());
    }
    result
}

fn addresses(previous: &Value) -> Vec<std::net::IpAddr> {
    let ips = previous.get("ips").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let texts = ips.iter().filter_map(|ip| ip.get("address")?.as_str()?.split('/').next());
    texts.filter_map(|text| text.parse().ok()).collect()
}

/// Whether the configuration says that nobody need be asked.
fn is_exempt(config: &Value, namespace: &str, name: &str) -> bool {
    let excluded = config.get("excludedNamespaces").and_then(Value::as_array);
    let is_excluded = excluded.is_some_and(|all| all.iter().any(|it| it.as_str() == Some(namespace)));
    let own = |key: &str| config.get("agentPods").and_then(|own| own.get(key)?.as_str());
    let is_own = own("namespace") == Some(namespace)
        && own("namePrefix").is_some_and(|prefix| {
            name.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty() && !rest.contains('-'))
        });
    is_excluded || is_own
}
