//! Whether a server that answers 404 says itself that it does not have a resource.
//!
//! What follows from that may be that policies are taken back, so a 404 alone is not believed: proxies say it, and servers that are just
//! starting. The list of what the server has must be there, and the resource must not be in it.

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
    versions: Vec<Version>,
}

#[derive(Deserialize)]
struct Version {
    #[serde(rename = "groupVersion")]
    name: String,
}

/// Asks the server whether it has the resource at a path of the form `/apis/<group>/<version>/...`.
pub(crate) async fn is_confirmed(client: &Client, path: &str, within: Duration) -> Result<bool, Error> {
    let Some((version, resource)) = parts(path) else { return Ok(false) };
    let request = Request::get(&format!("/apis/{version}"));
    match ask::<ResourceList>(client, request, within).await {
        Ok(list) => Ok(list.resources.iter().all(|known| known.name != resource)),
        Err(error) if error.code() == Some(404) => {
            let GroupList { groups } = ask(client, Request::get("/apis"), within).await?;
            Ok(groups.iter().flat_map(|group| &group.versions).all(|known| known.name != version))
        }
        Err(error) => Err(error),
    }
}

/// The version of the group, and the resource. What is in no group, every cluster has.
fn parts(path: &str) -> Option<(&str, &str)> {
    let path = path.strip_prefix("/apis/")?;
    let (group, rest) = path.split_once('/')?;
    let (version, rest) = rest.split_once('/')?;
    let resource = rest.rsplit('/').next()?;
    Some((&path[..group.len() + 1 + version.len()], resource))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_version_and_resource() {
        assert_eq!(parts("/apis/a.b/v1/things"), Some(("a.b/v1", "things")));
        assert_eq!(parts("/apis/a.b/v1/namespaces/shop/things"), Some(("a.b/v1", "things")));
        for path in ["/api/v1/pods", "/apis/a.b/v1", "/apis", "things"] {
            assert_eq!(parts(path), None, "{path}");
        }
    }
}
