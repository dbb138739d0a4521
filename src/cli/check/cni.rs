//! The CNI configuration of this host, and what is known of the network plugins people use with a mesh.
use std::io;
use std::path::Path;

use serde_json::Value;

use super::catalogue::Family;
use super::finding::{Check, Finding, Verdict};
use super::{Context, sight};

mod plugins;

use plugins::{aws, calico, cilium, kube_proxy};

pub(crate) const FAMILY: Family =
    Family { name: "cni", checks: &[&CHAIN, &OTHER, &CILIUM, &CALICO, &AWS, &KUBE_PROXY], look };

const CHAIN: Check = Check {
    name: "cni-chain",
    why: "the first configuration is the one in use; only with culvert-cni in it are pods captured from their first moment on",
};
const OTHER: Check = Check {
    name: "cni-other-mesh",
    why: "two meshes that capture the same pods redirect each other's connections",
};
const CILIUM: Check = Check {
    name: "cilium",
    why: "socket load balancing replaces a service's address before capture sees it; an exclusive Cilium renames other configurations",
};
const CALICO: Check = Check {
    name: "calico",
    why: "Calico's eBPF dataplane replaces a service's address when an application connects, before capture sees it",
};
const AWS: Check = Check {
    name: "aws-vpc-cni",
    why: "strict enforcement denies what a pod says before its policies are known, and looks at 15008 where policies name other ports",
};
const KUBE_PROXY: Check = Check {
    name: "kube-proxy",
    why: "it is what translates services for pods that are not in the mesh, and for the host",
};

/// What plugins of other meshes call themselves.
const MESHES: [(&str, &str); 6] = [
    ("istio-cni", "Istio"),
    ("linkerd-cni", "Linkerd"),
    ("kuma-cni", "Kuma"),
    ("consul-cni", "Consul"),
    ("osm-cni", "Open Service Mesh"),
    ("kmesh-cni", "Kmesh"),
];

/// The configuration in use.
struct Chain {
    file: String,
    /// Files that come later, and are not used.
    others: usize,
    plugins: Vec<String>,
}

fn look(context: &Context<'_>) -> Vec<Finding> {
    let directory = &context.options.cni_conf_dir;
    let chain = chain(directory);
    let plugins =
        chain.as_ref().ok().and_then(Option::as_ref).map(|chain| chain.plugins.clone()).unwrap_or_default();
    let agent_runs = context.running(&["culvert-agent"]).next().is_some();
    vec![
        CHAIN.finding(owner(chain, directory, agent_runs)),
        OTHER.finding(meshes(&plugins)),
        CILIUM.finding(cilium(context, &plugins)),
        CALICO.finding(calico(context, &plugins)),
        AWS.finding(aws(context, &plugins)),
        KUBE_PROXY.finding(kube_proxy(context)),
    ]
}

/// The first file a runtime would take; `None` without a directory.
fn chain(directory: &Path) -> io::Result<Option<Chain>> {
    let names = match sight::names(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        names => names?,
    };
    let mut files =
        names.into_iter().filter(|name| [".conf", ".conflist", ".json"].iter().any(|it| name.ends_with(it)));
    let Some(file) = files.next() else { return Ok(None) };
    let others = files.count();
    let plugins = types(&sight::read(&directory.join(&file))?).ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidData, format!("{file} is no CNI configuration"))
    })?;
    Ok(Some(Chain { file, others, plugins }))
}

/// The plugins of a list, or the one of an old single configuration.
fn types(text: &str) -> Option<Vec<String>> {
    let document: Value = serde_json::from_str(text).ok()?;
    let kind = |plugin: &Value| Some(plugin["type"].as_str()?.to_owned());
    match document["plugins"].as_array() {
        Some(list) => Some(list.iter().filter_map(kind).collect()),
        None => kind(&document).map(|one| vec![one]),
    }
}

fn owner(chain: io::Result<Option<Chain>>, directory: &Path, agent_runs: bool) -> Verdict {
    let directory = directory.display();
    let chain = match chain {
        Ok(Some(chain)) => chain,
        Ok(None) => {
            return Verdict::ok(format!(
                "no configuration in {directory}: no pods are made here by a runtime"
            ));
        }
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            return Verdict::problem(
                format!("{error}, and runtimes stop at it"),
                format!("repair it, or move it out of {directory}"),
            );
        }
        Err(error) => return Verdict::unseen(&error),
    };
    let Chain { file, others, plugins } = chain;
    let names = plugins.join(", ");
    let found = format!("{directory}/{file} is in use ({names}), before {others} more");
    if plugins.iter().any(|plugin| plugin == "culvert-cni") {
        return Verdict::ok(found);
    }
    if agent_runs {
        let options = format!("--cni-bin-dir /opt/cni/bin --cni-conf-dir {directory}");
        return Verdict::warning(
            format!("{found}; culvert-cni is not in it, so pods start before they are captured"),
            format!("start culvert-agent with {options}"),
        );
    }
    Verdict::ok(format!("{found}; culvert-cni is not in it yet"))
}

fn meshes(plugins: &[String]) -> Verdict {
    let found = plugins.iter().find_map(|plugin| MESHES.iter().find(|(kind, _)| kind == plugin));
    match found {
        Some((kind, mesh)) => Verdict::problem(
            format!("{kind} of {mesh} is in the chain"),
            format!(
                "uninstall {mesh}'s CNI plugin on this node (delete its DaemonSet), or keep culvert-agent off it"
            ),
        ),
        None => Verdict::ok("no plugin of another mesh is in the chain"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::finding::State;

    fn chain_of(plugins: &[&str]) -> io::Result<Option<Chain>> {
        let plugins = plugins.iter().map(|name| (*name).to_owned()).collect();
        Ok(Some(Chain { file: "10-a.conflist".into(), others: 1, plugins }))
    }

    #[test]
    fn the_owner_of_the_chain_is_named() {
        let at = Path::new("/etc/cni/net.d");
        let check = |chain, agent_runs, state| assert_eq!(owner(chain, at, agent_runs).state, state);
        check(chain_of(&["bridge", "portmap", "culvert-cni"]), true, State::Ok);
        check(chain_of(&["bridge"]), false, State::Ok);
        check(chain_of(&["bridge"]), true, State::Warning);
        check(Ok(None), true, State::Ok);
        check(Err(io::ErrorKind::InvalidData.into()), false, State::Problem);
        check(Err(io::ErrorKind::PermissionDenied.into()), false, State::Unknown);
        assert!(owner(chain_of(&["bridge"]), at, false).found.contains("10-a.conflist is in use (bridge)"));
    }

    #[test]
    fn the_first_configuration_counts() {
        let directory = std::env::temp_dir().join(format!("culvert-check-cni-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let write = |name: &str, text: &str| std::fs::write(directory.join(name), text).unwrap();
        write("20-b.conf", r#"{"type":"ptp"}"#);
        write("10-a.conflist", r#"{"plugins":[{"type":"calico"},{"type":"istio-cni"}]}"#);
        write("05-x.txt", "not a configuration");
        let found = chain(&directory).unwrap().unwrap();
        assert_eq!((found.file.as_str(), found.others), ("10-a.conflist", 1));
        let verdict = meshes(&found.plugins);
        assert!(
            verdict.state == State::Problem && verdict.found.contains("istio-cni of Istio"),
            "{verdict:?}"
        );
        write("00-y.conflist", "{");
        assert_eq!(chain(&directory).err().unwrap().kind(), io::ErrorKind::InvalidData);
        std::fs::remove_dir_all(&directory).unwrap();
        assert!(chain(&directory).unwrap().is_none());
        assert_eq!(types(r#"{"type":"ptp"}"#), Some(vec!["ptp".to_owned()]));
    }
}
