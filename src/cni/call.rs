//! A runtime's call as it comes: `CNI_*` variables and the configuration on stdin.
//!
//! In go untrusted strings and bytes, out comes a [`Call`] that makes sense, or the error the runtime is told.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::IpAddr;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::error::Category;
use serde_json::value::RawValue;

use crate::VERSIONS;
use crate::conf::Entry;
use crate::error::{Code, Error};
use crate::message::{Request, excerpt};

/// In bytes. A configuration is a few hundred of them; a result with many routes some thousands.
pub const MAX_INPUT: usize = 1 << 20;

/// More than any pod has.
const MOST_ADDRESSES: usize = 64;

/// The variables, as far as they are used.
#[derive(Debug, Default)]
pub struct Variables {
    command: Option<String>,
    container: Option<String>,
    netns: Option<String>,
    interface: Option<String>,
    arguments: Option<String>,
    /// One that is there, and is no text.
    unreadable: Option<&'static str>,
}

impl Variables {
    /// Takes them from the environment.
    pub fn of(environment: impl Fn(&str) -> Option<OsString>) -> Self {
        let mut unreadable = None;
        let mut variable = |name| {
            let text = environment(name)
                .and_then(|value| value.into_string().map_err(|_| unreadable = Some(name)).ok());
            text.filter(|text| !text.is_empty())
        };
        Self {
            command: variable("CNI_COMMAND"),
            container: variable("CNI_CONTAINERID"),
            netns: variable("CNI_NETNS"),
            interface: variable("CNI_IFNAME"),
            arguments: variable("CNI_ARGS"),
            unreadable,
        }
    }
}

/// What the runtime wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// A pod is being started.
    Add,
    /// One is taken down.
    Del,
    /// Whether one is as it should be.
    Check,
    /// Whether pods can be started.
    Status,
    /// What is left of pods that are gone.
    Gc,
    /// Which versions are spoken.
    Version,
}

impl Command {
    /// What the variables say.
    ///
    /// # Errors
    /// What the runtime is told that wants nothing, or something else.
    pub fn of(variables: &Variables) -> Result<Self, Error> {
        match variables.command.as_deref() {
            Some("ADD") => Ok(Self::Add),
            Some("DEL") => Ok(Self::Del),
            Some("CHECK") => Ok(Self::Check),
            Some("STATUS") => Ok(Self::Status),
            Some("GC") => Ok(Self::Gc),
            Some("VERSION") => Ok(Self::Version),
            Some(other) => Err(Error::early(
                Code::Environment,
                format!("CNI_COMMAND is {other:?}; ADD, DEL, CHECK, STATUS, GC and VERSION are understood"),
            )),
            None => Err(Error::early(Code::Environment, "CNI_COMMAND is not set")
                .because("this program is a CNI plugin, which container runtimes execute")),
        }
    }
}

/// The pod that is being started, or taken down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID; old runtimes do not say.
    pub uid: Option<String>,
}

impl Pod {
    /// Reads `KEY=VALUE;KEY=VALUE`. Other keys are for other plugins; without these it is no pod. One that is named in part, or in two
    /// ways, is a pod of which nobody can tell which: an error, in words.
    fn read(arguments: &str) -> Result<Option<Self>, String> {
        let value = |wanted: &str| {
            let pairs = arguments.split(';').filter_map(|pair| pair.split_once('='));
            let mut values = pairs.filter(|(key, _)| *key == wanted).map(|(_, value)| value);
            let first = values.next().unwrap_or_default();
            if values.any(|value| value != first) {
                return Err(format!("CNI_ARGS says {wanted} twice, and not the same"));
            }
            Ok(Some(first.to_owned()).filter(|value| !value.is_empty()))
        };
        let missing = |name| Err(format!("CNI_ARGS names a pod, and {name} is not among it"));
        let all = (value("K8S_POD_NAMESPACE")?, value("K8S_POD_NAME")?, value("K8S_POD_UID")?);
        match all {
            (Some(namespace), Some(name), uid) => Ok(Some(Self { namespace, name, uid })),
            (None, None, None) => Ok(None),
            (None, _, _) => missing("K8S_POD_NAMESPACE"),
            (Some(_), None, _) => missing("K8S_POD_NAME"),
        }
    }
}

/// One call.
#[derive(Debug)]
pub struct Call {
    /// The version of the specification in which the runtime speaks.
    pub version: String,
    /// What the plugin was told at installation.
    pub entry: Entry,
    container: String,
    netns: Option<String>,
    interface: String,
    pod: Option<Pod>,
    previous: Option<Box<RawValue>>,
}

/// The part of the configuration that is the runtime's.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Input {
    cni_version: Option<String>,
    prev_result: Option<Box<RawValue>>,
}

/// What is read of the result of the plugin before.
#[derive(Deserialize)]
struct Previous {
    /// Lists without entries are sometimes written as `null`.
    ips: Option<Vec<Ip>>,
}

#[derive(Deserialize)]
struct Ip {
    /// With the length of the prefix.
    address: String,
}

impl Call {
    /// Puts together what a runtime says.
    ///
    /// # Errors
    /// What the runtime is told that says what makes no sense.
    pub fn read(variables: &Variables, input: &[u8]) -> Result<Self, Error> {
        if input.len() > MAX_INPUT {
            let message = format!("the configuration is longer than {MAX_INPUT} bytes");
            return Err(Error::early(Code::Json, message));
        }
        let Input { cni_version, prev_result } =
            serde_json::from_slice(input).map_err(|error| unusable(&error))?;
        let version = cni_version.unwrap_or_else(|| "0.1.0".to_owned());
        if !VERSIONS.contains(&version.as_str()) {
            return Err(Error::early(Code::Version, format!("version {version:?} of CNI is not spoken"))
                .because(format!("set cniVersion of the list to one of {}", VERSIONS.join(", "))));
        }
        let entry = serde_json::from_slice(input).map_err(|error| unusable(&error))?;
        let missing = |name: &str| Error::new(&version, Code::Environment, format!("{name} is not set"));
        let container = variables.container.clone().ok_or_else(|| missing("CNI_CONTAINERID"))?;
        let interface = variables.interface.clone().ok_or_else(|| missing("CNI_IFNAME"))?;
        if variables.netns.is_none() && variables.command.as_deref() != Some("DEL") {
            return Err(missing("CNI_NETNS"));
        }
        let wrong = |what: String| Error::new(&version, Code::Environment, what);
        if let Some(name) = variables.unreadable {
            return Err(wrong(format!("{name} is not UTF-8")));
        }
        let pod = variables.arguments.as_deref().map_or(Ok(None), Pod::read).map_err(wrong)?;
        Ok(Self {
            version,
            entry,
            container,
            netns: variables.netns.clone(),
            interface,
            pod,
            previous: prev_result,
        })
    }

    /// The pod, if it is one.
    pub fn pod(&self) -> Option<&Pod> {
        self.pod.as_ref()
    }

    /// What the plugin before has answered, as the runtime gave it. Whether it makes sense is for others to say.
    ///
    /// # Errors
    /// There was none: the runtime is told.
    pub fn result(&self) -> Result<String, Error> {
        let Some(previous) = self.previous.as_deref() else {
            return Err(Error::new(&self.version, Code::Configuration, "there is no prevResult").because(
                "the plugin has to be behind the one that makes the pod's interface, in one list with it",
            ));
        };
        let keys: Result<BTreeMap<String, IgnoredAny>, _> = serde_json::from_str(previous.get());
        // A result without a version would be taken for one of version 0.1.0.
        let lacks_version = keys.is_ok_and(|keys| !keys.contains_key("cniVersion"));
        let text = previous.get();
        Ok(if lacks_version { with_version(text, &self.version) } else { text.to_owned() })
    }

    /// What the agent is asked about the pod. Nothing the runtime says of it is used in messages before it was looked at here.
    ///
    /// # Errors
    /// What the runtime is told that says what cannot be true.
    pub fn request(&self, pod: &Pod) -> Result<Request, Error> {
        let request = Request {
            container_id: self.container.clone(),
            netns: self.netns.clone(),
            ifname: self.interface.clone(),
            pod_namespace: pod.namespace.clone(),
            pod_name: pod.name.clone(),
            pod_uid: pod.uid.clone(),
            addresses: self.addresses(),
        };
        match request.flaw() {
            None => Ok(request),
            Some(flaw) => Err(Error::new(&self.version, Code::Environment, flaw.to_string())
                .because("the runtime or its configuration of CNI is at fault")),
        }
    }

    /// The addresses of the pod, as far as they make sense.
    fn addresses(&self) -> Vec<IpAddr> {
        let read = self.previous.as_deref().and_then(|text| serde_json::from_str(text.get()).ok());
        let ips = read.and_then(|previous: Previous| previous.ips).unwrap_or_default();
        let addresses = ips.iter().filter_map(|ip| ip.address.split('/').next()?.parse().ok());
        addresses.take(MOST_ADDRESSES).collect()
    }
}

/// Adds a version to a JSON object that has none.
fn with_version(object: &str, version: &str) -> String {
    let rest = object.trim_start().trim_start_matches('{');
    let comma = if rest.trim_start().starts_with('}') { "" } else { "," };
    format!("{{\"cniVersion\":\"{version}\"{comma}{rest}")
}

fn unusable(error: &serde_json::Error) -> Error {
    let (code, message) = match error.classify() {
        Category::Data => (Code::Configuration, "the configuration makes no sense"),
        Category::Io | Category::Syntax | Category::Eof => (Code::Json, "the configuration is not JSON"),
    };
    // It may quote what is wrong.
    let error = error.to_string();
    let error = excerpt(&error);
    Error::early(code, message).because(format!("{error}; culvert-agent writes the entry of this plugin"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_are_found_among_other_arguments() {
        let pod = |text: &str| Pod::read(text).unwrap().map(|pod| (pod.namespace, pod.name, pod.uid));
        let all = "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-0;K8S_POD_INFRA_CONTAINER_ID=c;K8S_POD_UID=u";
        assert_eq!(pod(all), Some(("shop".into(), "web-0".into(), Some("u".into()))));
        assert_eq!(
            pod("K8S_POD_NAME=a=b;K8S_POD_NAMESPACE=n;K8S_POD_UID="),
            Some(("n".into(), "a=b".into(), None))
        );
        for text in ["", ";;", "=", "IgnoreUnknown=1", "K8S_POD_NAMESPACE=;K8S_POD_NAME="] {
            assert_eq!(pod(text), None, "{text}");
        }
    }

    #[test]
    fn a_pod_that_is_named_in_part_or_in_two_ways_is_not_passed_over() {
        for (arguments, why) in [
            ("K8S_POD_NAME=a", "K8S_POD_NAMESPACE is not"),
            ("K8S_POD_NAMESPACE=;K8S_POD_NAME=a", "K8S_POD_NAMESPACE is not"),
            ("K8S_POD_NAMESPACE=n", "K8S_POD_NAME is not"),
            ("K8S_POD_UID=u", "K8S_POD_NAMESPACE is not"),
            ("K8S_POD_NAMESPACE=kube-system;K8S_POD_NAMESPACE=n;K8S_POD_NAME=a", "K8S_POD_NAMESPACE twice"),
            ("K8S_POD_NAMESPACE=n;K8S_POD_NAME=;K8S_POD_NAME=a", "K8S_POD_NAME twice"),
        ] {
            let variables = Variables { arguments: Some(arguments.into()), ..variables() };
            let error = Call::read(&variables, CONFIGURATION.as_bytes()).unwrap_err();
            assert!(error.to_string().contains(why), "{arguments}: {error}");
        }
    }

    #[test]
    fn what_is_not_utf_8_is_not_passed_over() {
        use std::os::unix::ffi::OsStringExt as _;
        let variables = Variables::of(|name| match name {
            "CNI_ARGS" => Some(OsString::from_vec(b"K8S_POD_NAMESPACE=n;K8S_POD_NAME=a\xff".into())),
            other => Some(other.into()),
        });
        let error = Call::read(&variables, CONFIGURATION.as_bytes()).unwrap_err();
        assert!(error.to_string().contains("CNI_ARGS is not UTF-8"), "{error}");
    }

    #[test]
    fn an_error_says_no_more_than_anybody_reads() {
        let configuration =
            CONFIGURATION.replace("/b", &"b".repeat(100_000)).replace("\"stateFile\"", "\"agentPods\"");
        let error = Call::read(&variables(), configuration.as_bytes()).unwrap_err().to_json();
        assert!(error.len() < 8 << 10, "{} bytes", error.len());
    }

    #[test]
    fn a_result_without_a_version_gets_one() {
        assert_eq!(with_version(" {}", "1.0.0"), r#"{"cniVersion":"1.0.0"}"#);
        assert_eq!(with_version(r#"{"ips":[]}"#, "0.4.0"), r#"{"cniVersion":"0.4.0","ips":[]}"#);
    }

    const CONFIGURATION: &str =
        r#"{"cniVersion": "1.0.0", "type": "culvert-cni", "agentSocket": "/a", "stateFile": "/b"}"#;

    fn variables() -> Variables {
        Variables {
            container: Some("c".into()),
            interface: Some("eth0".into()),
            netns: Some("/run/netns/a".into()),
            ..Variables::default()
        }
    }

    #[test]
    fn nothing_is_too_deep_for_a_small_stack() {
        let entry = r#""cniVersion": "1.0.0", "type": "culvert-cni", "agentSocket": "/a", "stateFile": "/b""#;
        let call = move |field: &str, value: &str| {
            Call::read(&variables(), format!("{{{entry}, \"{field}\": {value}}}").as_bytes())
        };
        let read = move || {
            for depth in [10, 50, 100, 10_000] {
                let deep = format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
                call("ipam", &deep).unwrap();
                assert!(call("excludedNamespaces", &deep).is_err());
                for result in [deep.clone(), format!("{{\"ips\": {deep}}}"), format!("{{\"dns\": {deep}}}")] {
                    let call = call("prevResult", &result).unwrap();
                    assert!(call.addresses().is_empty());
                    // Whatever it is, it is handed on.
                    assert!(call.result().unwrap().contains(&deep));
                }
            }
        };
        std::thread::Builder::new().stack_size(2 << 20).spawn(read).unwrap().join().unwrap();
    }
}
