"""The list of system calls: the committed profile is the one the list makes, and says no where it must."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from specs import REPOSITORY

from sandbox import seccomp

SCRIPT = REPOSITORY / "scripts" / "seccomp.py"
NEVER = (
    "io_uring_setup", "io_uring_enter", "io_uring_register", "ptrace", "process_vm_readv", "process_vm_writev",
    "pidfd_getfd", "kcmp", "add_key", "request_key", "keyctl", "bpf", "perf_event_open", "userfaultfd", "unshare",
    "setns", "mount", "umount2", "pivot_root", "chroot", "open_tree", "move_mount", "fsopen", "fsconfig", "fsmount",
    "fspick", "mount_setattr", "mknod", "mknodat", "setuid", "setgid", "setreuid", "setregid", "setresuid",
    "setresgid", "setgroups", "setfsuid", "setfsgid", "capset", "open_by_handle_at", "name_to_handle_at", "msgget",
    "msgsnd", "semget", "shmget", "shmat", "mq_open", "kexec_load", "kexec_file_load", "init_module",
    "finit_module", "delete_module", "reboot", "swapon", "swapoff", "acct", "quotactl", "syslog", "iopl", "ioperm",
    "modify_ldt", "settimeofday", "clock_settime", "sethostname", "setdomainname", "fanotify_init", "seccomp",
    "vmsplice", "splice", "tee", "mbind", "set_mempolicy", "get_mempolicy", "move_pages", "migrate_pages",
    "lookup_dcookie", "nfsservctl", "uselib", "vhangup", "memfd_secret",
)  # fmt: skip
ALWAYS = (
    "link", "linkat", "memfd_create", "execve", "fork", "vfork", "futex", "mmap", "mprotect", "rseq", "membarrier",
    "statx", "faccessat2", "close_range", "openat2", "prctl", "futex_waitv", "sched_setaffinity", "pidfd_open",
    "getrandom", "epoll_pwait", "ioctl", "mlock", "arch_prctl", "rt_sigreturn", "exit_group",
)  # fmt: skip


def rules(name: str) -> list[dict[str, Any]]:
    return [rule for rule in json.loads(seccomp.profile_text())["syscalls"] if name in rule["names"]]


def test_the_committed_profile_is_the_one_that_the_list_makes() -> None:
    done = subprocess.run([sys.executable, str(SCRIPT), "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_list_that_changed_is_noticed(tmp_path: Path) -> None:
    folder = tmp_path / "sandbox" / "seccomp"
    folder.mkdir(parents=True)
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "seccomp.py").write_bytes(SCRIPT.read_bytes())
    text = seccomp.PROFILE.with_name("syscalls.toml").read_text()
    (folder / "syscalls.toml").write_text(text.replace('"access", ', ""))
    (folder / "profile.json").write_text(seccomp.profile_text())
    command = [sys.executable, str(tmp_path / "scripts" / "seccomp.py")]
    assert subprocess.run([*command, "--check"], capture_output=True, check=False).returncode == 1
    subprocess.run(command, check=True)
    assert subprocess.run([*command, "--check"], capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("broken", ['names = ["read"]', 'calls = ["read", "read"]'])
def test_a_list_with_a_mistake_makes_nothing(tmp_path: Path, broken: str) -> None:
    folder = tmp_path / "sandbox" / "seccomp"
    folder.mkdir(parents=True)
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "seccomp.py").write_bytes(SCRIPT.read_bytes())
    calls = "" if broken.startswith("calls") else 'calls = ["write"]\n'
    (folder / "syscalls.toml").write_text(f'[[group]]\nname = "x"\nreason = "y"\n{calls}{broken}\n')
    command = [sys.executable, str(tmp_path / "scripts" / "seccomp.py")]
    assert subprocess.run(command, capture_output=True, check=False).returncode != 0
    assert not (folder / "profile.json").exists()


def test_what_is_not_named_is_refused() -> None:
    assert json.loads(seccomp.profile_text())["defaultAction"] == "SCMP_ACT_ERRNO"


def test_native_calls_only() -> None:
    machines = json.loads(seccomp.profile_text())["archMap"]
    assert [machine["architecture"] for machine in machines] == ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"]
    assert all(machine["subArchitectures"] == [] for machine in machines)


@pytest.mark.parametrize("name", NEVER)
def test_never_allowed(name: str) -> None:
    assert rules(name) == []


@pytest.mark.parametrize("name", ALWAYS)
def test_always_allowed(name: str) -> None:
    assert [rule["action"] for rule in rules(name)] == ["SCMP_ACT_ALLOW"]
    assert "args" not in rules(name)[0]


def test_sockets_are_of_the_unix_kind_alone() -> None:
    for name in ("socket", "socketpair"):
        assert [rule["args"] for rule in rules(name)] == [[{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]]


def test_clone_makes_no_namespace() -> None:
    flags = 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000
    (rule,) = rules("clone")
    assert rule["args"] == [{"index": 0, "value": flags, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}]


def test_clone3_makes_libc_fall_back() -> None:
    (rule,) = rules("clone3")
    assert (rule["action"], rule["errnoRet"]) == ("SCMP_ACT_ERRNO", 38)


def test_personality_can_be_asked_and_not_changed() -> None:
    assert [rule["args"][0]["value"] for rule in rules("personality")] == [0, 0xFFFFFFFF]


def test_every_group_says_why() -> None:
    groups = tomllib.loads(seccomp.PROFILE.with_name("syscalls.toml").read_text())["group"]
    assert all(len(group["reason"]) > 20 for group in groups)
