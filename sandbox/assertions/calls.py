"""Which system calls must be refused, and why. See :mod:`sandbox.assertions`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from sandbox.assertions.base import Assertion, Layer, one_of

REFUSED: dict[str, str] = {
    "io_uring_setup io_uring_enter io_uring_register": "a second road into the kernel that no filter sees",
    "ptrace process_vm_readv process_vm_writev process_madvise pidfd_getfd kcmp": "reaches into other processes",
    "add_key request_key keyctl": "keys outlive the run, and are not in any namespace",
    "bpf perf_event_open userfaultfd seccomp fanotify_init": "programs and hooks inside the kernel",
    "inotify_init1 io_setup": "takes from a limit of the whole host",
    "unshare setns chroot pivot_root": "namespaces give an unprivileged program the kernel's privileged half",
    "mount umount2 open_tree move_mount fsopen mount_setattr": "changes what is mounted",
    "mknodat fchownat setxattr": "makes devices and pipes, changes owners, takes kernel memory",
    "open_by_handle_at name_to_handle_at": "opens files by number, past every mount",
    "personality": "switches address randomisation off",
    "msgget semget shmget mq_open": "memory that belongs to no process",
    "kexec_load kexec_file_load init_module finit_module delete_module reboot": "the kernel itself",
    "swapon swapoff acct quotactl syslog sethostname settimeofday clock_settime": "the machine's own settings",
    "iopl ioperm modify_ldt": "ports and segments",
    "setuid setgid setresuid setgroups": "becomes somebody else",
    "splice vmsplice remap_file_pages mbind move_pages": "moves pages that belong to other files or nodes",
}
FAMILIES = ("INET", "INET6", "NETLINK", "PACKET", "ALG", "VSOCK", "BLUETOOTH", "CAN", "XDP", "KEY")
DENIED = ("EPERM", "ENOSYS")  # ENOSYS: newer than the kernel, or than the list
KILLED = ("signal 31", "signal 11", "ENOSYS")


def calls() -> Iterator[Assertion]:
    """Every call that the filter must refuse. Those that an architecture does not have are never told of."""
    for names, why in REFUSED.items():
        for name in names.split():
            yield _where_it_exists(one_of(f"call {name}", f"call {name}", DENIED, why, Layer.HOST_KERNEL))
    for family in FAMILIES:
        yield one_of(
            f"socket AF_{family}", f"socket AF_{family}", DENIED,
            "no kind of socket but AF_UNIX: not every family is confined by the network namespace", Layer.HOST_KERNEL,
        )  # fmt: skip
    for kind in ("user", "net", "mount"):
        yield one_of(
            f"clone {kind}", f"clone {kind}", ("EPERM",), "a new namespace by the other door", Layer.HOST_KERNEL
        )
    yield one_of("call clone3", "call clone3", ("ENOSYS",), "its flags cannot be filtered", Layer.HOST_KERNEL)
    for name in ("int 0x80", "x32"):
        yield _where_it_exists(one_of(name, name, KILLED, "other call tables escape the list", Layer.HOST_KERNEL))


def _where_it_exists(assertion: Assertion) -> Assertion:
    """Some calls are x86-64's alone; elsewhere the probe does not tell of them."""
    return replace(assertion, applies=lambda facts: assertion.name in facts or facts.get("machine") == "x86_64")
