//! Who issues certificates: an authority, or SPIRE's agent on this host.
//!
//! Settings that contradict each other are refused. Those of the authority may be there when it is not the one who issues, because
//! charts always set them; then they are named once and not used.

use std::path::PathBuf;

use super::control::Said;
use super::{Error, IssuerConfig};
use crate::identity::spire::{self, Api};

const ISSUER: &str = "CULVERT_ISSUER";

/// The sockets of SPIRE's agent, by the names its own tools go by.
const ADMIN_SOCKET: &str = "SPIRE_ADMIN_ENDPOINT_SOCKET";
const WORKLOAD_SOCKET: &str = "SPIFFE_ENDPOINT_SOCKET";

/// What only an authority is told.
const UNUSED: [&str; 4] = ["CA_ADDRESS", "CA_ROOT_CA", "ALT_CA_HOSTNAME", "SECRET_TTL"];

impl Said<'_> {
    /// Who issues, for a node or (not `shared`) for one workload.
    pub(super) fn issuer(&self, shared: bool) -> Result<IssuerConfig, Error> {
        let (api, socket) = match self.env.filled_or_default(ISSUER).as_str() {
            "ca" => return Ok(IssuerConfig::Authority(self.authority(shared)?)),
            name if name == Api::Delegated.name() => (Api::Delegated, ADMIN_SOCKET),
            name if name == Api::Workload.name() => (Api::Workload, WORKLOAD_SOCKET),
            _ => return Err(self.env.invalid(ISSUER, "use `ca`, `spire-delegated` or `spire-workload`")),
        };
        self.fits(api, shared)?;
        let socket = self.socket(socket, api)?;
        let unused: Vec<_> = UNUSED.into_iter().filter(|name| self.env.filled(name).is_some()).collect();
        if !unused.is_empty() {
            tracing::info!(
                ?unused,
                "SPIRE issues the certificates; settings of a certificate authority are not used"
            );
        }
        Ok(IssuerConfig::Spire(spire::Config { api, socket, tls12: self.tls12() }))
    }

    fn fits(&self, api: Api, shared: bool) -> Result<(), Error> {
        let reason = match (api, shared) {
            (Api::Delegated, true) | (Api::Workload, false) => return Ok(()),
            (Api::Workload, true) => {
                "the Workload API says who this process is, and PROXY_MODE=shared needs the certificates of others; use `spire-delegated`"
            }
            (Api::Delegated, false) => {
                "a delegate can get the certificate of every workload of its host, and PROXY_MODE=dedicated needs its own only; use `spire-workload`"
            }
        };
        Err(self.env.invalid(ISSUER, reason))
    }

    /// As SPIFFE writes sockets (`unix:///path`), as gRPC does (`unix:/path`), or a path.
    fn socket(&self, name: &'static str, api: Api) -> Result<PathBuf, Error> {
        let text = self.env.filled(name).ok_or_else(|| {
            let what = match api {
                Api::Delegated => "admin socket (its `admin_socket_path`)",
                Api::Workload => "socket (its `socket_path`)",
            };
            self.env.invalid(name, &format!("{ISSUER} needs it: the agent's {what}, as unix:///path"))
        })?;
        let path = text.strip_prefix("unix://").or_else(|| text.strip_prefix("unix:")).unwrap_or(&text);
        if path.starts_with('/') && !path.contains(['?', '#']) {
            return Ok(path.into());
        }
        Err(self
            .env
            .invalid(name, "write it as unix:///path: a Unix socket is how the agent knows who is calling"))
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, Environment, IssuerConfig};
    use crate::identity::spire::Api;

    const MESH: (&str, &str) = ("LOCAL_XDS", "workloads: []");
    const DEDICATED: [(&str, &str); 2] = [("PROXY_MODE", "dedicated"), ("PROXY_WORKLOAD_INFO", "ns/pod/sa")];

    fn read(set: &[(&str, &str)]) -> Result<IssuerConfig, String> {
        let env = Environment::of(set.iter().copied().chain([MESH]));
        Config::read(&env).map(|config| config.issuer).map_err(|error| error.to_string())
    }

    #[test]
    fn an_authority_issues_unless_something_else_is_said() {
        for set in [&[][..], &[("CULVERT_ISSUER", "")], &[("CULVERT_ISSUER", "ca")]] {
            assert!(matches!(read(set), Ok(IssuerConfig::Authority(_))), "{set:?}");
        }
    }

    #[test]
    fn sockets_are_understood_as_spiffe_and_grpc_write_them() {
        for (text, path) in [
            ("unix:///run/spire/admin.sock", "/run/spire/admin.sock"),
            ("unix:/run/spire/admin.sock", "/run/spire/admin.sock"),
            ("/run/spire/admin.sock", "/run/spire/admin.sock"),
        ] {
            let set = [
                ("CULVERT_ISSUER", "spire-delegated"),
                ("SPIRE_ADMIN_ENDPOINT_SOCKET", text),
                ("CA_ADDRESS", "istiod:15012"),
            ];
            let Ok(IssuerConfig::Spire(config)) = read(&set) else { panic!("{text}") };
            assert_eq!((config.api, config.socket.to_str()), (Api::Delegated, Some(path)));
        }
        for text in ["tcp://127.0.0.1:8081", "unix://host/path", "unix:relative", "unix://", "run/agent.sock"]
        {
            let set = [("CULVERT_ISSUER", "spire-delegated"), ("SPIRE_ADMIN_ENDPOINT_SOCKET", text)];
            let error = read(&set).unwrap_err();
            assert!(error.contains(&format!("SPIRE_ADMIN_ENDPOINT_SOCKET=`{text}`")), "{error}");
            assert!(error.contains("unix:///path"), "{error}");
        }
    }

    #[test]
    fn who_asks_must_fit_who_is_served() {
        let (admin, own) = (
            ("SPIRE_ADMIN_ENDPOINT_SOCKET", "unix:///admin.sock"),
            ("SPIFFE_ENDPOINT_SOCKET", "unix:///agent.sock"),
        );
        let [mode, whom] = DEDICATED;
        let workload = read(&[("CULVERT_ISSUER", "spire-workload"), own, mode, whom]);
        assert!(matches!(workload, Ok(IssuerConfig::Spire(config)) if config.api == Api::Workload));
        for (set, parts) in [
            (&[("CULVERT_ISSUER", "vault")][..], ["CULVERT_ISSUER=`vault`", "`spire-delegated`"]),
            (&[("CULVERT_ISSUER", "spire-workload"), own], ["PROXY_MODE=shared", "use `spire-delegated`"]),
            (
                &[("CULVERT_ISSUER", "spire-delegated"), admin, mode, whom],
                ["PROXY_MODE=dedicated", "use `spire-workload`"],
            ),
            (
                &[("CULVERT_ISSUER", "spire-delegated"), own],
                ["SPIRE_ADMIN_ENDPOINT_SOCKET", "admin_socket_path"],
            ),
            (
                &[("CULVERT_ISSUER", "spire-workload"), admin, mode, whom],
                ["SPIFFE_ENDPOINT_SOCKET", "socket_path"],
            ),
        ] {
            let error = read(set).unwrap_err();
            assert!(parts.iter().all(|part| error.contains(part)), "{set:?}: {error}");
        }
    }
}
