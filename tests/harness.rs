//! What the tests share: a control plane the test plays itself ([`ads`]), [`cluster`]s that are ready to use, [`certificates`] of the mesh and of strangers, ways to [`talk`]
//! as an application, [`calls`] while something happens, and questions to the [`kernel`].

pub(crate) mod ads;
pub(crate) mod calls;
pub(crate) mod certificates;
pub(crate) mod cluster;
pub(crate) mod kernel;
pub(crate) mod metrics;
pub(crate) mod shared;
pub(crate) mod talk;
