//! What this program needs for as long as it runs, out of its settings; everything else is given up ([`culvert_confine`]).
//!
//! Files are those that settings name, and what the system library and a profile of this program read. Only the admin socket is made.

use culvert_confine::files::Places;
use culvert_confine::{Calls, Capability, Files, Memory, Profile};

use crate::config::{Config, IssuerConfig, MeshSource};
use crate::control_plane::{Config as Server, Root, Token};

/// Marks and foreign source addresses; entering the namespaces of pods.
const CAPABILITIES: &[Capability] = &[Capability::CAP_NET_ADMIN, Capability::CAP_SYS_ADMIN];

/// What is needed with these settings.
pub(crate) fn profile(config: &Config) -> Profile {
    Profile {
        capabilities: CAPABILITIES,
        calls: Calls::DataPlane,
        files: Files::Of(places(config)),
        memory: Memory::Closed,
    }
}

fn places(config: &Config) -> Places {
    let mut places = Places::common();
    let issuer = match &config.issuer {
        IssuerConfig::Authority(authority) => Some(&authority.server),
        IssuerConfig::Spire(_) => None,
    };
    for server in config.xds.iter().map(|xds| &xds.server).chain(issuer) {
        places = of_server(places, server);
    }
    if let Some(MeshSource::File(mesh)) = &config.mesh.source {
        places = places.file(mesh);
    }
    let roots = config.telemetry.as_ref().and_then(|telemetry| telemetry.roots.as_ref());
    for file in config.trust.revoked.iter().chain(roots) {
        places = places.file(file);
    }
    match config.admin.socket.as_ref().and_then(|socket| socket.parent()) {
        Some(directory) => places.workshop(directory),
        None => places,
    }
}

/// Kubernetes replaces these, by way of the directory.
fn of_server(places: Places, server: &Server) -> Places {
    let places = match &server.root {
        Root::File(file) => places.file(file),
        Root::System | Root::Pem(_) => places,
    };
    match &server.token {
        Some(Token::File(file)) => places.file(file),
        Some(Token::Text(_)) | None => places,
    }
}
