//! What this program needs for as long as it serves; everything else is given up ([`culvert_confine`]).
//!
//! No capability is needed, nothing is started, and files are those it was told of. A kubeconfig is another matter: it may name any file,
//! and a program that has the credentials, so with one neither files nor what is started can be told before.

use std::path::Path;

use culvert_confine::files::Places;
use culvert_confine::{Calls, Files, Memory, Profile};

use crate::cluster::ClusterArgs;
use crate::from_files::FileArgs;

/// Where a pod finds who it is.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// With a mesh in files.
pub(crate) fn of_files(args: &FileArgs) -> Profile {
    let FileArgs { mesh, ca_dir, tokens } = args;
    let places = Places::common().workshop(ca_dir).file(tokens);
    server(Files::Of(if mesh.is_dir() { places.directory(mesh) } else { places.file(mesh) }))
}

/// With a mesh in a cluster.
pub(crate) fn of_cluster(args: &ClusterArgs) -> Profile {
    match &args.kubeconfig {
        None => server(Files::Of(Places::common().directory(Path::new(ACCOUNT)))),
        Some(_) => Profile { calls: Calls::Programmer, ..server(Files::All) },
    }
}

fn server(files: Files) -> Profile {
    Profile { capabilities: &[], calls: Calls::Server, files, memory: Memory::Closed }
}
