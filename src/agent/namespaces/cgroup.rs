//! Which pod a process belongs to, by its control groups.
//!
//! In goes `/proc/PID/cgroup`, out comes a UID or nothing. kubelet puts every container below a group named for its pod: with its
//! `cgroupfs` driver a directory `podUID`, with its `systemd` driver a slice `…-podUID.slice` whose UID has `_` for `-`. What
//! is above depends on the root kubelet was given, the pod's quality of service, and where the reader stands; what is below, on
//! the container runtime. So neither is looked at. Whether the process is where the pod is, is not said by this.

/// The pod all lines agree on that name one. Different hierarchies of version 1 may be used differently, but not for two pods.
pub(super) fn pod_of(control_groups: &str) -> Option<String> {
    let path = |line: &'_ str| line.splitn(3, ':').nth(2).and_then(pod_in);
    let mut pods = control_groups.lines().filter_map(path);
    let first = pods.next()?;
    pods.all(|other| other == first).then_some(first)
}

/// The outermost pod of a path: what is further in was named by the pod's own processes, or by a kubelet that runs in it.
fn pod_in(path: &str) -> Option<String> {
    path.split('/').find_map(pod_named_by)
}

fn pod_named_by(group: &str) -> Option<String> {
    // Runtimes that do not know slices take `SLICE:PREFIX:NAME` for the name of one directory.
    let (name, _) = group.split_once(':').unwrap_or((group, ""));
    let own = name.strip_suffix(".slice").map_or(group, |slice| slice.rsplit('-').next().unwrap_or(slice));
    let uid = own.strip_prefix("pod")?;
    is_uid(uid).then(|| uid.replace('_', "-"))
}

/// A UUID, or the digest of a static pod's manifest.
fn is_uid(text: &str) -> bool {
    const DIGEST: usize = 32;
    const UUID: usize = 36;
    const DASHES: [usize; 4] = [8, 13, 18, 23];
    let fits = |(at, byte): (usize, u8)| match byte {
        b'-' | b'_' => text.len() == UUID && DASHES.contains(&at),
        byte => byte.is_ascii_hexdigit() && !(text.len() == UUID && DASHES.contains(&at)),
    };
    [DIGEST, UUID].contains(&text.len()) && text.bytes().enumerate().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    const UID: &str = "5f1c2f6e-7c0a-4f0e-9d8b-0123456789ab";
    const OTHER: &str = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee";
    const DIGEST: &str = "0123456789abcdef0123456789abcdef";

    /// `U` stands for the UID, `S` for the UID as slices have it, `O` for another pod's, `D` for a digest, `C` for a container.
    fn check(control_groups: &str, pod: Option<&str>) {
        let spelled: String = control_groups
            .chars()
            .map(|letter| match letter {
                'U' => UID.to_owned(),
                'S' => UID.replace('-', "_"),
                'O' => OTHER.to_owned(),
                'D' => DIGEST.to_owned(),
                'C' => "c0ffee".repeat(10) + "c0ff",
                other => other.to_string(),
            })
            .collect();
        assert_eq!(pod_of(&spelled).as_deref(), pod, "{control_groups}");
    }

    #[test]
    fn every_driver_and_runtime_leads_to_the_pod() {
        let forms = [
            // The cgroupfs driver, by quality of service.
            "0::/kubepods/podU/C",
            "0::/kubepods/burstable/podU/C",
            "0::/kubepods/besteffort/podU/C",
            // The systemd driver: containerd, Docker, CRI-O and what watches over its containers, podman.
            "0::/kubepods.slice/kubepods-podS.slice/cri-containerd-C.scope",
            "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podS.slice/cri-containerd-C.scope",
            "0::/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-podS.slice/docker-C.scope",
            "0::/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-podS.slice/crio-C.scope",
            "0::/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-podS.slice/crio-C.scope/container",
            "0::/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-podS.slice/crio-conmon-C.scope",
            "0::/kubepods/besteffort/podU/crio-C",
            "0::/kubepods/besteffort/podU/crio-conmon-C",
            "0::/kubepods/podU/libpod-C",
            "0::/kubepods.slice/kubepods-podS.slice/libpod-C.scope/container",
            // Slices for a runtime that makes directories.
            "0::/kubepods-besteffort-podS.slice:cri-containerd:C",
            "0::/system.slice/containerd.service/kubepods-burstable-podS.slice:cri-containerd:C",
            // Nodes that are containers themselves, and a root of its own for kubelet.
            "0::/docker/C/kubelet/kubepods/burstable/podU/C",
            "0::/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/\
             kubelet-kubepods-burstable-podS.slice/cri-containerd-C.scope",
            "0::/docker/C/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-podS.slice/cri-containerd-C.scope",
            "0::/lxc.payload.node/kubepods/besteffort/podU/C",
            "0::/my.slice/my-own.slice/my-own-kubepods.slice/my-own-kubepods-podS.slice/cri-containerd-C.scope",
            // Sandboxes that are virtual machines.
            "0::/kubepods/burstable/podU/kata_C",
            "0::/kubepods.slice/kubepods-podS.slice/cri-containerd-C.scope/kata_overhead",
            // Seen from within another pod's group.
            "0::/../../kubepods-besteffort.slice/kubepods-besteffort-podS.slice/cri-containerd-C.scope",
            "0::/../../podU/C",
            // Groups the container makes for itself do not count.
            "0::/kubepods/podU/C/podO/C",
            "0::/kubepods/podU/C/kubelet/kubepods/besteffort/podO/C",
            // The pod's own group, without a container.
            "0::/kubepods/podU",
        ];
        for form in forms {
            check(form, Some(UID));
            check(&format!("{form}\n"), Some(UID));
        }
    }

    #[test]
    fn a_static_pod_has_the_digest_of_its_manifest() {
        check("0::/kubepods/burstable/podD/C", Some(DIGEST));
        check("0::/kubepods.slice/kubepods-podD.slice/cri-containerd-C.scope", Some(DIGEST));
    }

    #[test]
    fn the_hierarchies_of_version_1_agree_or_say_nothing() {
        check(
            "11:memory:/kubepods/podU/C\n10:cpu,cpuacct:/kubepods/podU/C\n1:name=systemd:/kubepods/podU/C\n",
            Some(UID),
        );
        check("11:memory:/kubepods/podU/C\n10:freezer:/\n1:name=systemd:/system.slice\n0::/\n", Some(UID));
        check(
            "4:memory:/kubepods.slice/kubepods-podS.slice/docker-C.scope\n1:name=systemd:/kubepods/podU/C\n",
            Some(UID),
        );
        check("11:memory:/kubepods/podU/C\n10:cpu,cpuacct:/kubepods/podO/C\n", None);
        check("11:memory:/kubepods/podO/C\n0::/kubepods/podU/C\n", None);
    }

    #[test]
    fn what_only_resembles_a_pod_is_none() {
        let forms = [
            "",
            "0::/",
            "0::",
            "0",
            "podU",
            "memory:/podU",
            "0::/system.slice/kubelet.service",
            "0::/system.slice/containerd.service",
            "0::/docker/C",
            "0::/machine.slice/libpod-C.scope",
            "0::/kata_overhead/C",
            "0::/user.slice/user-0.slice/session-1.scope",
            "0::/kubepods/pod/C",
            "0::/kubepods/U/C",
            "0::/kubepods/podinfo/C",
            "0::/kubepods/podU0/C",
            "0::/kubepods/xpodU/C",
            "0::/kubepods/podC/C",
            "0::/kubepods/pod0123456789-abcdef-0123456789-abcdef-012/C",
            "0::/kubepods/pod5f1c2f6e07c0a04f0e09d8b00123456789ab/C",
            "0::/kubepods/podzf1c2f6e-7c0a-4f0e-9d8b-0123456789ab/C",
            "0::/kubepods.slice/kubepods-podS.scope/C",
            "0::/kubepods.slice/kubepods-podS-x.slice/C",
        ];
        for form in forms {
            check(form, None);
        }
    }
}
