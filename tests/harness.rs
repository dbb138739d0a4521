//! What the tests share: [`cluster`]s that are ready to use, [`certificates`] of the mesh and of strangers, ways to [`talk`]
//! as an application or to have it connected ([`socks`]), [`calls`] and a steady [`load`] while something happens, any other
//! [`command`] in a pod, and questions to the [`kernel`]. Where the agent goes by [`kubernetes`] and pods are made by a container
//! runtime, [`one_node`] is all a test needs; a [`pair`] of nodes is a [`standalone`] mesh, whose control plane is asked for certificates as
//! a [`signer`]; its [`api`] is the lab's own API server or a real [`kube_apiserver`].
//!
//! What happens at random follows from a [`seed`]; [`traffic`] proves itself whatever happens to it.
//!
//! For a control plane that the test plays itself there are [`ads`] and [`authority`], which serve at an [`endpoint`] with
//! certificates of a [`pki`] (of the mesh's own there are [`revocation`] lists); in place of the authority there may be [`spire`]; [`scripted`] puts a node between them, and [`tunnel`] knocks at its pods. [`frames`] does to a
//! tunnel what no client would.
//!
//! Programs nobody here wrote are peers: [`envoy`], [`h2_waypoint`], [`node_http2`] and [`nghttpx`]; some have to be
//! [`installed`]. One is a [`nameserver`]; what [`metrics`] nodes show is for [`prometheus`], too, and what they tell is for a [`collector`]. What waypoints of ours are told in front of a connection is [`proxied`]; what agents and
//! nodes tell each other is in [`zds`]. What clusters install is the [`chart`].

pub(crate) mod ads;
pub(crate) mod api;
pub(crate) mod authority;
pub(crate) mod calls;
pub(crate) mod certificates;
pub(crate) mod chart;
pub(crate) mod cluster;
pub(crate) mod collector;
pub(crate) mod command;
pub(crate) mod endpoint;
pub(crate) mod envoy;
pub(crate) mod frames;
pub(crate) mod h2_waypoint;
pub(crate) mod installed;
pub(crate) mod kernel;
pub(crate) mod keys;
pub(crate) mod kube_apiserver;
pub(crate) mod kubernetes;
pub(crate) mod load;
pub(crate) mod metrics;
pub(crate) mod nameserver;
pub(crate) mod nghttpx;
pub(crate) mod node_http2;
pub(crate) mod one_node;
pub(crate) mod pair;
pub(crate) mod pki;
pub(crate) mod pprof;
pub(crate) mod prometheus;
pub(crate) mod proxied;
pub(crate) mod revocation;
pub(crate) mod scripted;
pub(crate) mod seed;
pub(crate) mod shared;
pub(crate) mod signer;
pub(crate) mod socks;
pub(crate) mod spire;
pub(crate) mod standalone;
pub(crate) mod talk;
pub(crate) mod traffic;
pub(crate) mod tunnel;
pub(crate) mod v1;
pub(crate) mod zds;
