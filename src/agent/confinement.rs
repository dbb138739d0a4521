//! What this program needs for as long as it runs; everything else is given up ([`culvert_confine`]).
//!
//! Files are not restricted: who is restricted in files cannot look at other processes, and by these pods' namespaces are found.

use culvert_confine::{Calls, Capability, Files, Memory, Profile};

/// The agent, and the packet tools it starts.
pub(crate) const AGENT: Profile = Profile {
    capabilities: &[
        // Packet rules, routes and policy rules of pods.
        Capability::CAP_NET_ADMIN,
        // The legacy packet tools open raw sockets.
        Capability::CAP_NET_RAW,
        // Entering the pods' network namespaces, and finding them by other users' processes.
        Capability::CAP_SYS_ADMIN,
        Capability::CAP_SYS_PTRACE,
        // Where the CNI's files are somebody else's.
        Capability::CAP_CHOWN,
        Capability::CAP_DAC_OVERRIDE,
        Capability::CAP_FOWNER,
        // More namespaces on their way to nodes than it may have files.
        Capability::CAP_SYS_RESOURCE,
    ],
    calls: Calls::Programmer,
    files: Files::All,
    // The tools take turns by a descriptor of ours (`/proc/PID/fd/N`).
    memory: Memory::OpenToChildren,
};

/// The CNI plugin: it asks the agent. Where its files are, the runtime tells it later.
pub(crate) const PLUGIN: Profile =
    Profile { capabilities: &[], calls: Calls::Server, files: Files::All, memory: Memory::Closed };
