//! A waypoint or gateway out of Python's h2 (`tests/peers/h2_waypoint.py`), in a pod that no agent touches.

use std::net::SocketAddr;

use culvert_lab::{Lab, Launch, Pod, Program, wait_for};
use serde_json::{Map, Value, json};

use super::certificates::Certificate;
use super::installed::installed;
use super::talk::SOON;

/// Where the waypoint leads those who ask for something.
pub(crate) struct Way {
    asked: String,
    route: Value,
}

impl Way {
    /// In a tunnel of its own, to an address of a pod with this identity.
    pub(crate) fn tunnel(asked: impl ToString, to: SocketAddr, identity: &str) -> Self {
        Self { asked: asked.to_string(), route: json!({ "to": to, "identity": identity }) }
    }

    /// As gateways do: what is in the stream goes to an address as it is.
    pub(crate) fn bytes(asked: impl ToString, to: impl Into<SocketAddr>) -> Self {
        Self { asked: asked.to_string(), route: json!({ "bytes": to.into() }) }
    }
}

/// How a waypoint is started.
#[track_caller]
pub(crate) fn launch(lab: &Lab, pod: &Pod, certificate: &Certificate, ways: &[Way]) -> Launch {
    let route = |way: &Way| (way.asked.clone(), way.route.clone());
    let wish = json!({
        "port": 15008,
        "ca": lab.root_certificate(),
        "cert": certificate.chain,
        "key": certificate.key,
        "routes": ways.iter().map(route).collect::<Map<_, _>>(),
    });
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/h2_waypoint.py");
    Launch::new(pod.name(), installed("python"), pod.netns()).arg(script).arg(wish)
}

/// The waypoint.
pub(crate) struct Waypoint {
    pub(crate) pod: Pod,
    pub(crate) program: Program,
}

impl Waypoint {
    #[track_caller]
    pub(crate) fn start(lab: &Lab, pod: Pod, certificate: &Certificate, ways: &[Way]) -> Self {
        let program = lab.start(launch(lab, &pod, certificate, ways)).unwrap();
        lab.wait_until(SOON, "the waypoint listens", || pod.listens(15008).unwrap()).unwrap();
        Self { pod, program }
    }

    /// What each CONNECT so far was, in order; the script says what there is.
    #[track_caller]
    pub(crate) fn connects(&self) -> Vec<Value> {
        let said = self.program.log_text();
        let whole = said.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        whole.map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{said}"))).collect()
    }

    /// The CONNECTs for an authority.
    #[track_caller]
    pub(crate) fn connects_to(&self, authority: impl ToString) -> Vec<Value> {
        let authority = Value::from(authority.to_string());
        self.connects().into_iter().filter(|connect| connect["authority"] == authority).collect()
    }

    /// What the CONNECT for a client's connection to an authority was, once it has come.
    #[track_caller]
    pub(crate) fn connect_of(&self, client: SocketAddr, to: impl ToString) -> Value {
        let to = to.to_string();
        let about = format!("for=\"{client}\"");
        let is_it = |connect: &Value| connect["forwarded"].as_str().is_some_and(|it| it.contains(&about));
        let what = format!("{} is asked for the connection of {client} to {to}", self.pod.name());
        wait_for(SOON, &what, || self.connects_to(&to).into_iter().find(is_it)).unwrap()
    }
}
