//! Whether a server that answers 404 says itself that it does not have a resource.
//!
//! What follows from that may be that policies are taken back, so a 404 alone is not believed: proxies say it, and servers that are just
//! starting. The list of what the server has must be there, and the resource must not be in it, in whatever version: objects that are
//! served in another version than the one that is asked for are there all the same.

use std::time::Duration;

use kube::Client;
use serde::Deserialize;

use crate::call::{Error, ask};
use crate::request::Request;

/// One version of a group.
#[derive(Deserialize)]
struct ResourceList {
    resources: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
struct GroupList {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    name: String,
    versions: Vec<Version>,
}

#[derive(Deserialize)]
struct Version {
    #[serde(rename = "groupVersion")]
    name: String,
}

/// Asks the server whether it has the resource at a path of the form `/apis/<group>/<version>/...`.
///
/// # Errors
/// When it cannot be asked, or has the resource in other versions alone.
pub(crate) async fn is_confirmed(client: &Client, path: &str, within: Duration) -> Result<bool, Error> {
    let Some((group, version, resource)) = parts(path) else { return Ok(false) };
    let GroupList { groups } = ask(client, Request::get("/apis"), within).await?;
    let versions = groups.into_iter().filter(|known| known.name == group).flat_map(|known| known.versions);
    for Version { name } in versions {
        let request = Request::get(&format!("/apis/{name}"));
        let list = ask::<ResourceList>(client, request, within).await?;
        if list.resources.iter().all(|known| known.name != resource) {
            continue;
        }
        if name == format!("{group}/{version}") {
            return Ok(false);
        }
        let (resource, wanted) = (resource.to_owned(), version.to_owned());
        return Err(Error::OtherVersion { resource, wanted, served: name });
    }
    Ok(true)
}

/// The group, its version, and the resource. What is in no group, every cluster has.
fn parts(path: &str) -> Option<(&str, &str, &str)> {
    let (group, rest) = path.strip_prefix("/apis/")?.split_once('/')?;
    let (version, rest) = rest.split_once('/')?;
    Some((group, version, rest.rsplit('/').next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_version_and_resource() {
        assert_eq!(parts("/apis/a.b/v1/things"), Some(("a.b", "v1", "things")));
        assert_eq!(parts("/apis/a.b/v1/namespaces/shop/things"), Some(("a.b", "v1", "things")));
        for path in ["/api/v1/pods", "/apis/a.b/v1", "/apis", "things"] {
            assert_eq!(parts(path), None, "{path}");
        }
    }
}
