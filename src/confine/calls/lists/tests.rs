use super::*;

/// What a program that was taken over would want, and none of ours does.
const DANGEROUS: &[c_long] = &[
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_bpf,
    libc::SYS_capset,
    libc::SYS_chroot,
    libc::SYS_clone3,
    libc::SYS_delete_module,
    libc::SYS_execveat,
    libc::SYS_finit_module,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_init_module,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup,
    libc::SYS_kcmp,
    libc::SYS_kexec_file_load,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_mknodat,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_perf_event_open,
    libc::SYS_personality,
    libc::SYS_pidfd_getfd,
    libc::SYS_pivot_root,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_quotactl,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_setdomainname,
    libc::SYS_setgid,
    libc::SYS_sethostname,
    libc::SYS_settimeofday,
    libc::SYS_setuid,
    libc::SYS_swapon,
    libc::SYS_syslog,
    libc::SYS_umount2,
    libc::SYS_userfaultfd,
    libc::SYS_vhangup,
];

const ALL: [Calls; 3] = [Calls::DataPlane, Calls::Server, Calls::Programmer];

fn conditions(calls: Calls, number: c_long) -> Option<usize> {
    calls.rules().unwrap().get(&number).map(Vec::len)
}

#[test]
fn nothing_dangerous_is_on_any_list() {
    for calls in ALL {
        let listed: Vec<_> = DANGEROUS.iter().filter(|&&it| conditions(calls, it).is_some()).collect();
        assert!(listed.is_empty(), "{calls:?}: {listed:?}");
    }
}

#[test]
fn who_starts_nothing_executes_nothing() {
    for calls in [Calls::DataPlane, Calls::Server] {
        assert_eq!(conditions(calls, libc::SYS_execve), None, "{calls:?}");
        assert_eq!(conditions(calls, libc::SYS_clone), Some(1), "{calls:?}");
    }
}

#[test]
fn some_calls_are_made_by_some_programs_alone() {
    let entering = ALL.map(|calls| conditions(calls, libc::SYS_setns));
    assert_eq!(entering, [Some(1), None, Some(1)]);
    let reading = ALL.map(|calls| conditions(calls, libc::SYS_process_vm_readv));
    assert_eq!(reading, [Some(1), None, None], "its own memory");
    let making = ALL.map(|calls| conditions(calls, libc::SYS_unshare));
    assert_eq!(making, [None, None, Some(1)]);
}

#[test]
fn a_call_that_is_listed_with_and_without_a_condition_has_none() {
    assert_eq!(conditions(Calls::Programmer, libc::SYS_ioctl), Some(0));
    assert_eq!(conditions(Calls::Programmer, libc::SYS_socket), Some(4));
}

#[test]
fn every_list_is_a_program_the_kernel_takes() {
    for calls in ALL {
        let program = calls.program(super::super::Filtered::Enforced).unwrap();
        assert!(program.len() < 4096, "{calls:?}: {}", program.len());
    }
}
