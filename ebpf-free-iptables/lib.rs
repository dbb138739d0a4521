//! The packet rules inside a pod that bring its traffic to the proxy: no eBPF, no kernel module.
//!
//! In go a pod's switches and its network namespace; out comes a namespace that holds exactly the rules, the policy
//! rule and the route of the plan, or an error and a namespace that holds none of them. Which pods are captured, when,
//! and how often this is verified is not decided here.
//!
//! ```text
//! options ─▶ plan ─▶ script ─▶ tool ─▶ kernel
//!              │       ▲        │
//!              ▼       │        ▼
//!            drift ◀─ observe ◀ parse
//! ```
//!
//! - `options`: what of a pod is captured; `plan`: the rules that takes, as values (`rule`); `script`: as text for
//!   `iptables-restore` (`render`)
//! - `binary`: which iptables programs; `tool`: running them (`run`); `parse`: reading what they print
//! - `policy_route`: the policy rule and route, by netlink (`netlink`)
//! - `observe`, `drift`: what is there, and how it differs
//! - `apply`, `verify`, `remove`: what there is to do
//! - `traces`: whether anything is there at all; `fingerprint`: whether anything has changed; both from the kernel itself
//!   (`nft`, `legacy`)
//! - `host`: the other rules, those of a node, which tell kubelet's probes from all else
//! - `watch`: hearing of changes when they happen
//!
//! All of it blocks, for some milliseconds per call where tools run: call it where blocking is allowed. The calling thread must live
//! until the call returns, because the tools die with it.

mod apply;
mod binary;
mod drift;
mod error;
mod fingerprint;
mod host;
mod kernel;
mod legacy;
mod netlink;
mod nft;
mod observe;
mod options;
mod parse;
mod plan;
mod policy_route;
mod remove;
mod render;
mod rule;
mod run;
mod script;
mod tool;
mod traces;
mod verify;
mod watch;

pub use apply::Applied;
pub use binary::{Iptables, NoTool, Search, Unfit};
pub use drift::{Difference, Drift, RuleDifference, Wrong};
pub use error::{Error, RemoveError};
pub use fingerprint::Fingerprint;
pub use host::{Disguise, HostError, HostProbes, HostRemoveError, ProbedPods};
pub use options::{MAX_PASSED_NETWORKS, MAX_PASSED_PORTS, Options, Passed, ProbeSource};
pub use plan::{
    DNS_PORT, INBOUND_PORT, MARK_MASK, MAX_VIRTUAL_INTERFACES, OUTBOUND_PORT, PACKET_MARK, Plan, RETURN_MARK,
    ROUTE_TABLE, RULE_PRIORITY, TUNNEL_PORT,
};
pub use policy_route::Object;
pub use rule::{Chain, Family, Table};
pub use tool::{Backend, Error as ToolError};
pub use watch::{Changed, Watch};
