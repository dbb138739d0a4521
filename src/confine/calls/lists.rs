//! The calls each kind of program makes, by what they are for.
//!
//! What is dangerous is not on any list, whoever asks (the test below names it): looking into other processes, mounting, modules, BPF,
//! io_uring, keys of the kernel, namespaces other than networks. A list is what was seen while all tests ran, and what the C library does in
//! the same place on other versions.

use nix::libc::{self, c_long};

use super::{Argument, Call, Calls, When};

#[cfg(test)]
mod tests;

impl Calls {
    /// All calls that are answered.
    pub(super) fn calls(self) -> impl Iterator<Item = Call> {
        let (plain, some): (&[&[c_long]], &[&[Call]]) = match self {
            Self::DataPlane => (
                &[RUNTIME, OF_THE_ARCHITECTURE, FILES, NETWORK, MAKING_SOCKET_FILES],
                &[SOME, THREADS, CONTROLS, ENDPOINTS, OWN_LIMITS, ENTERING, SAMPLING],
            ),
            Self::Server => (
                &[RUNTIME, OF_THE_ARCHITECTURE, FILES, NETWORK, KEEPING_FILES],
                &[SOME, THREADS, CONTROLS, ENDPOINTS, OWN_LIMITS],
            ),
            Self::Programmer => (
                &[
                    RUNTIME,
                    OF_THE_ARCHITECTURE,
                    FILES,
                    NETWORK,
                    MAKING_SOCKET_FILES,
                    KEEPING_FILES,
                    CHILDREN,
                    CHILDREN_OF_THE_ARCHITECTURE,
                ],
                &[SOME, CHILDREN_ALONE, RAW_ENDPOINTS, ENTERING, MAKING],
            ),
        };
        let plain = plain.iter().copied().flatten().map(|&number| Call { number, when: When::Always });
        plain.chain(some.iter().copied().flatten().copied()).chain(self.on_itself())
    }

    /// What a program does to itself alone: it is known by its number.
    fn on_itself(self) -> Option<Call> {
        let own = i32::try_from(std::process::id()).ok()?;
        // A profile copies stacks, for which a hole is an error.
        (self == Self::DataPlane).then(|| when(libc::SYS_process_vm_readv, is(0, own)))
    }
}

/// Memory, threads, time, signals, waiting: what the C library and tokio do.
const RUNTIME: &[c_long] = &[
    libc::SYS_brk,
    libc::SYS_clock_getres,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_close,
    libc::SYS_close_range,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_eventfd2,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_fcntl,
    libc::SYS_futex,
    libc::SYS_futex_waitv,
    libc::SYS_get_robust_list,
    libc::SYS_getcpu,
    libc::SYS_getegid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getgroups,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_getpriority,
    libc::SYS_getrandom,
    libc::SYS_getrusage,
    libc::SYS_gettid,
    libc::SYS_gettimeofday,
    libc::SYS_getuid,
    libc::SYS_madvise,
    libc::SYS_membarrier,
    libc::SYS_mincore,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_nanosleep,
    libc::SYS_pipe2,
    libc::SYS_ppoll,
    libc::SYS_pselect6,
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_restart_syscall,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigpending,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigsuspend,
    libc::SYS_rt_sigtimedwait,
    libc::SYS_sched_get_priority_max,
    libc::SYS_sched_get_priority_min,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_getattr,
    libc::SYS_sched_getparam,
    libc::SYS_sched_getscheduler,
    libc::SYS_sched_setattr,
    libc::SYS_sched_setscheduler,
    libc::SYS_sched_yield,
    libc::SYS_set_robust_list,
    libc::SYS_set_tid_address,
    libc::SYS_setpriority,
    libc::SYS_sigaltstack,
    libc::SYS_sysinfo,
    libc::SYS_tgkill,
    libc::SYS_timerfd_create,
    libc::SYS_timerfd_gettime,
    libc::SYS_timerfd_settime,
    libc::SYS_times,
    libc::SYS_uname,
    libc::SYS_write,
    libc::SYS_writev,
];

/// Reading files.
const FILES: &[c_long] = &[
    libc::SYS_chdir,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_fadvise64,
    libc::SYS_fstat,
    libc::SYS_fstatfs,
    libc::SYS_getcwd,
    libc::SYS_getdents64,
    libc::SYS_lseek,
    libc::SYS_newfstatat,
    libc::SYS_openat,
    libc::SYS_pread64,
    libc::SYS_preadv,
    libc::SYS_preadv2,
    libc::SYS_pwrite64,
    libc::SYS_readlinkat,
    libc::SYS_statfs,
    libc::SYS_statx,
];

/// What has another name, or no successor, on one architecture.
#[cfg(target_arch = "x86_64")]
const OF_THE_ARCHITECTURE: &[c_long] = &[
    libc::SYS_access,
    libc::SYS_arch_prctl,
    libc::SYS_dup2,
    libc::SYS_epoll_wait,
    libc::SYS_getrlimit,
    libc::SYS_lstat,
    libc::SYS_open,
    libc::SYS_poll,
    libc::SYS_readlink,
    libc::SYS_select,
    libc::SYS_stat,
    libc::SYS_time,
];
#[cfg(not(target_arch = "x86_64"))]
const OF_THE_ARCHITECTURE: &[c_long] = &[];

/// Using sockets. Of what kind they may be is said where they are made.
const NETWORK: &[c_long] = &[
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_bind,
    libc::SYS_connect,
    libc::SYS_getpeername,
    libc::SYS_getsockname,
    libc::SYS_getsockopt,
    libc::SYS_listen,
    libc::SYS_recvfrom,
    libc::SYS_recvmmsg,
    libc::SYS_recvmsg,
    libc::SYS_sendmmsg,
    libc::SYS_sendmsg,
    libc::SYS_sendto,
    libc::SYS_setsockopt,
    libc::SYS_shutdown,
];

/// A socket with a name in the file system.
#[cfg(target_arch = "x86_64")]
const MAKING_SOCKET_FILES: &[c_long] =
    &[libc::SYS_fchmod, libc::SYS_mkdir, libc::SYS_mkdirat, libc::SYS_unlink, libc::SYS_unlinkat];
#[cfg(not(target_arch = "x86_64"))]
const MAKING_SOCKET_FILES: &[c_long] = &[libc::SYS_fchmod, libc::SYS_mkdirat, libc::SYS_unlinkat];

/// Files that are written, and replaced in one step.
#[cfg(target_arch = "x86_64")]
const KEEPING_FILES: &[c_long] = &[
    libc::SYS_fchmod,
    libc::SYS_fdatasync,
    libc::SYS_flock,
    libc::SYS_fsync,
    libc::SYS_ftruncate,
    libc::SYS_mkdir,
    libc::SYS_mkdirat,
    libc::SYS_rename,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_unlink,
    libc::SYS_unlinkat,
];
#[cfg(not(target_arch = "x86_64"))]
const KEEPING_FILES: &[c_long] = &[
    libc::SYS_fchmod,
    libc::SYS_fdatasync,
    libc::SYS_flock,
    libc::SYS_fsync,
    libc::SYS_ftruncate,
    libc::SYS_mkdirat,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_unlinkat,
];

/// Starting packet tools, what these do besides, and ending them.
const CHILDREN: &[c_long] = &[
    libc::SYS_copy_file_range,
    libc::SYS_execve,
    libc::SYS_fchdir,
    libc::SYS_fchmodat,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_getpgid,
    libc::SYS_getresgid,
    libc::SYS_getresuid,
    libc::SYS_getsid,
    libc::SYS_ioctl,
    libc::SYS_kill,
    libc::SYS_memfd_create,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_send_signal,
    libc::SYS_prctl,
    libc::SYS_prlimit64,
    libc::SYS_sendfile,
    libc::SYS_setpgid,
    libc::SYS_setsid,
    libc::SYS_splice,
    libc::SYS_symlinkat,
    libc::SYS_umask,
    libc::SYS_utimensat,
    libc::SYS_wait4,
    libc::SYS_waitid,
];

/// The same.
#[cfg(target_arch = "x86_64")]
const CHILDREN_OF_THE_ARCHITECTURE: &[c_long] = &[
    libc::SYS_chmod,
    libc::SYS_fork,
    libc::SYS_getpgrp,
    libc::SYS_pipe,
    libc::SYS_rmdir,
    libc::SYS_setrlimit,
    libc::SYS_symlink,
    libc::SYS_vfork,
];
#[cfg(not(target_arch = "x86_64"))]
const CHILDREN_OF_THE_ARCHITECTURE: &[c_long] = &[];

/// A pair of sockets that are connected with each other.
const SOME: &[Call] = &[when(libc::SYS_socketpair, is(0, libc::AF_UNIX))];

/// Threads of this process, and no other process. `clone3(2)` hides its flags behind a pointer; without it the C library takes this one.
const THREADS: &[Call] =
    &[when(libc::SYS_clone, bits(0, NAMESPACES | libc::CLONE_THREAD, libc::CLONE_THREAD))];

/// Processes and threads, in the namespaces there are.
const CHILDREN_ALONE: &[Call] = &[when(libc::SYS_clone, bits(0, NAMESPACES, 0))];

/// All that clone(2) could make a namespace of its own of.
const NAMESPACES: i32 = libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWUTS;

/// Entering a network, and no other kind of namespace.
const ENTERING: &[Call] = &[when(libc::SYS_setns, is(1, libc::CLONE_NEWNET))];

/// The timer of a CPU profile.
const SAMPLING: &[Call] = &[when(libc::SYS_setitimer, is(0, libc::ITIMER_PROF))];

/// Making one, to try out the packet tools.
const MAKING: &[Call] = &[when(libc::SYS_unshare, is(0, libc::CLONE_NEWNET))];

/// Limits of this process alone.
const OWN_LIMITS: &[Call] = &[when(libc::SYS_prlimit64, is(0, 0))];

/// Commands to the kernel: names of threads and mappings; what sockets, terminals and namespaces are asked.
const CONTROLS: &[Call] = &[
    when(libc::SYS_prctl, is(0, libc::PR_SET_NAME)),
    when(libc::SYS_prctl, is(0, libc::PR_GET_NAME)),
    when(libc::SYS_prctl, is(0, libc::PR_SET_VMA)),
    when(libc::SYS_ioctl, is(1, libc::FIONBIO as i32)),
    when(libc::SYS_ioctl, is(1, libc::FIOCLEX as i32)),
    when(libc::SYS_ioctl, is(1, libc::FIONREAD as i32)),
    when(libc::SYS_ioctl, is(1, libc::TIOCOUTQ as i32)),
    when(libc::SYS_ioctl, is(1, SIOCATMARK)),
    when(libc::SYS_ioctl, is(1, libc::TCGETS as i32)),
    when(libc::SYS_ioctl, is(1, NS_GET_NSTYPE)),
];

/// Whether a socket is at urgent data (tcp(7)).
const SIOCATMARK: i32 = 0x8905;

/// What kind a namespace is of (ioctl_ns(2)).
const NS_GET_NSTYPE: i32 = 0xb703;

/// Sockets for streams and datagrams, local ones, and those of the kernel.
const ENDPOINTS: &[Call] = &[
    socket(libc::AF_INET, libc::SOCK_STREAM),
    socket(libc::AF_INET, libc::SOCK_DGRAM),
    socket(libc::AF_INET6, libc::SOCK_STREAM),
    socket(libc::AF_INET6, libc::SOCK_DGRAM),
    socket(libc::AF_UNIX, libc::SOCK_STREAM),
    socket(libc::AF_UNIX, libc::SOCK_DGRAM),
    socket(libc::AF_UNIX, libc::SOCK_SEQPACKET),
    socket(libc::AF_NETLINK, libc::SOCK_RAW),
    socket(libc::AF_NETLINK, libc::SOCK_DGRAM),
];

/// The same families, of all kinds: the packet tools for legacy tables ask the kernel through raw sockets.
const RAW_ENDPOINTS: &[Call] = &[
    when(libc::SYS_socket, is(0, libc::AF_INET)),
    when(libc::SYS_socket, is(0, libc::AF_INET6)),
    when(libc::SYS_socket, is(0, libc::AF_UNIX)),
    when(libc::SYS_socket, is(0, libc::AF_NETLINK)),
];

/// Bits of the second argument of socket(2) that are the kind, and not flags.
const KIND: i32 = 0xf;

const fn socket(family: i32, kind: i32) -> Call {
    Call { number: libc::SYS_socket, when: When::Both(is(0, family), bits(1, KIND, kind)) }
}

const fn when(number: c_long, argument: Argument) -> Call {
    Call { number, when: When::Is(argument) }
}

const fn is(index: u8, value: i32) -> Argument {
    bits(index, -1, value)
}

const fn bits(index: u8, mask: i32, value: i32) -> Argument {
    Argument { index, mask: mask.cast_unsigned(), value: value.cast_unsigned() }
}
