"""The system calls that should be refused, each tried. See :mod:`sandbox.probe`.

Where nothing refuses them they do no harm: the arguments are wrong, or ask for what everybody has.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import platform
import signal
import socket
import stat
from collections.abc import Callable

from sandbox.probe.attempt import call, in_children

HERE = -100  # AT_FDCWD
# name -> (number on x86-64, number on arm64, arguments); None: no such call there. Where a kernel would go on to look
# at the arguments it answers something else than "not permitted", or nothing happens.
CALLS: dict[str, tuple[int | None, int | None, tuple[object, ...]]] = {
    "io_uring_setup": (425, 425, (0, None)),
    "io_uring_enter": (426, 426, (-1, 0, 0, 0, None, 0)),
    "io_uring_register": (427, 427, (-1, 0, None, 0)),
    "ptrace": (101, 117, (0, 0, None, None)),
    "process_vm_readv": (310, 270, (os.getpid(), None, 0, None, 0, 0)),
    "process_vm_writev": (311, 271, (os.getpid(), None, 0, None, 0, 0)),
    "process_madvise": (440, 440, (-1, None, 0, 0, 0)),
    "pidfd_getfd": (438, 438, (-1, 0, 0)),
    "kcmp": (312, 272, (os.getpid(), os.getpid(), 1, 0, 0)),
    "add_key": (248, 217, (None, None, None, 0, 0)),
    "request_key": (249, 218, (None, None, None, 0)),
    "keyctl": (250, 219, (0, -3, 0)),
    "bpf": (321, 280, (-1, None, 0)),
    "perf_event_open": (298, 241, (None, 0, -1, -1, 0)),
    "userfaultfd": (323, 282, (1,)),
    "seccomp": (317, 277, (99, 0, None)),
    "fanotify_init": (300, 262, (0, 0)),
    "inotify_init1": (294, 26, (0,)),
    "unshare": (272, 97, (0,)),
    "setns": (308, 268, (-1, 0)),
    "mount": (165, 40, (None, None, None, 0, None)),
    "umount2": (166, 39, (None, 0)),
    "pivot_root": (155, 41, (None, None)),
    "chroot": (161, 51, (None,)),
    "open_tree": (428, 428, (-1, None, -1)),
    "move_mount": (429, 429, (-1, None, -1, None, -1)),
    "fsopen": (430, 430, (None, -1)),
    "mount_setattr": (442, 442, (-1, None, -1, None, 0)),
    "mknodat": (259, 33, (HERE, b"/tmp/.fifo", stat.S_IFIFO | 0o600, 0)),
    "open_by_handle_at": (304, 265, (-1, None, 0)),
    "name_to_handle_at": (303, 264, (-1, None, None, None, 0)),
    "fchownat": (260, 54, (HERE, b"/tmp", -1, -1, 0)),
    "setxattr": (188, 5, (None, None, None, 0, 0)),
    "personality": (135, 92, (0x0040000,)),
    "clone3": (435, 435, (None, 0)),
    "msgget": (68, 186, (0, 0o600)),
    "semget": (64, 190, (0, 1, 0o600)),
    "shmget": (29, 194, (0, 4096, 0o600)),
    "mq_open": (240, 180, (None, 0, 0, None)),
    "kexec_load": (246, 104, (0, 0, None, -1)),
    "kexec_file_load": (320, 294, (-1, -1, 0, None, -1)),
    "init_module": (175, 105, (None, 0, None)),
    "finit_module": (313, 273, (-1, None, 0)),
    "delete_module": (176, 106, (None, 0)),
    "reboot": (169, 142, (0, 0, 0, None)),
    "swapon": (167, 224, (None, 0)),
    "swapoff": (168, 225, (None,)),
    "acct": (163, 89, (b"/nowhere",)),
    "quotactl": (179, 60, (-1, None, 0, None)),
    "syslog": (103, 116, (10, None, 0)),
    "sethostname": (170, 161, (None, -1)),
    "settimeofday": (164, 170, (None, None)),
    "clock_settime": (227, 112, (0, None)),
    "iopl": (172, None, (0,)),
    "ioperm": (173, None, (0, 1, 0)),
    "modify_ldt": (154, None, (0, None, 0)),
    "setuid": (105, 146, (os.getuid(),)),
    "setgid": (106, 144, (os.getgid(),)),
    "setresuid": (117, 147, (-1, -1, -1)),
    "setgroups": (116, 159, (-1, None)),
    "io_setup": (206, 0, (0, None)),
    "splice": (275, 76, (-1, None, -1, None, 0, 0)),
    "vmsplice": (278, 75, (-1, None, 0, 0)),
    "remap_file_pages": (216, 234, (0, 0, 0, 0, 0)),
    "mbind": (237, 235, (0, 0, 0, None, 0, 0)),
    "move_pages": (279, 239, (0, 0, None, None, None, 0)),
}
FAMILIES = {
    "AF_INET": 2, "AF_INET6": 10, "AF_NETLINK": 16, "AF_PACKET": 17, "AF_ALG": 38, "AF_VSOCK": 40, "AF_BLUETOOTH": 31,
    "AF_CAN": 29, "AF_XDP": 44, "AF_KEY": 15,
}  # fmt: skip


def calls() -> None:
    """Try them all. The one that lets its caller be traced comes last."""
    column = 0 if platform.machine() == "x86_64" else 1
    tries: list[tuple[str, Callable[[], object]]] = []
    if column == 0:
        tries += [("int 0x80", old_call), ("x32", lambda: call(0x40000000 | 39))]
    for name, family in FAMILIES.items():
        tries.append((f"socket {name}", lambda f=family: kinds_of_socket(f)))  # type: ignore[misc]
    clone = 56 if column == 0 else 220
    for name, flag in (("user", 0x10000000), ("net", 0x40000000), ("mount", 0x00020000)):
        tries.append((f"clone {name}", lambda f=flag: cloned(clone, f)))  # type: ignore[misc]
    for name, entry in sorted(CALLS.items(), key=lambda item: item[0] == "ptrace"):
        number = entry[column]
        if isinstance(number, int):
            tries.append((f"call {name}", lambda n=number, a=entry[2]: call(n, *a)))  # type: ignore[misc]
    in_children(tries)


def cloned(number: int, flag: int) -> int:
    """A child made by clone with one namespace flag."""
    child = call(number, flag | signal.SIGCHLD, None, None, None, None)
    if child == 0:
        os._exit(0)
    return child


def kinds_of_socket(family: int) -> str:
    """Any kind of socket of a family will do; the last refusal counts."""
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW):
        try:
            socket.socket(family, kind).close()
            return f"kind {int(kind)}"
        except OSError as error:
            refusal = error
    raise refusal


def old_call() -> int:
    """getpid by the 32-bit road: mov eax, 20; int 0x80; ret."""
    page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(bytes.fromhex("b814000000cd80c3"))
    return int(ctypes.CFUNCTYPE(ctypes.c_long)(ctypes.addressof(ctypes.c_char.from_buffer(page)))())
