"""The self-check is checked: each field of the wall, weakened by itself, is noticed by the assertion about it."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from specs import LIMITS, a_spec
from weakened import WeakenedEngine
from weakenings import WEAKENINGS

from sandbox import conformance
from sandbox.conformance import Report, Standing
from sandbox.docker_engine import Engine
from sandbox.interface import SandboxUnavailable

AT_ONCE = 2
STUCK_SECONDS = 40.0
REFUSED_BY_SOME_ENGINES = {"new-privileges", "mounts-follow-the-host", "oom-score", "uts-host", "terminal"}
# The assertion that must notice; one that starts with "call" or "socket" stands for any of its weakening's calls.
NOTICED_BY = {
    "network-bridge": "interfaces", "network-host": "interfaces", "hostname": "host name",
    "privileged": "capabilities CapBnd", "user-root": "user", "user-without-group": "groups",
    "group-root-added": "groups", "capabilities-default": "capabilities CapBnd",
    "capability-net-raw": "capabilities CapBnd", "capability-sys-admin": "capabilities CapBnd",
    "capability-sys-ptrace": "capabilities CapBnd", "new-privileges": "no new privileges",
    "new-privileges-and-no-seccomp": "no new privileges", "seccomp-off": "seccomp mode",
    "seccomp-of-the-engine": "call ptrace", "seccomp-32-bit": "int 0x80", "seccomp-io-uring": "call io_uring_setup",
    "seccomp-sockets": "socket AF_INET", "seccomp-ptrace": "call ptrace", "seccomp-process-vm": "call process_vm_readv",
    "seccomp-pidfd-getfd": "call pidfd_getfd", "seccomp-kcmp": "call kcmp", "seccomp-keyrings": "call keyctl",
    "seccomp-bpf": "call bpf", "seccomp-perf": "call perf_event_open", "seccomp-userfaultfd": "call userfaultfd",
    "seccomp-sysv-ipc": "call shmget", "seccomp-message-queues": "call mq_open",
    "seccomp-personality": "call personality", "seccomp-clone": "clone user", "seccomp-clone3": "call clone3",
    "seccomp-unshare": "call unshare", "seccomp-setns": "call setns", "seccomp-mknod": "call mknodat",
    "seccomp-handles": "call name_to_handle_at", "seccomp-aio": "call io_setup",
    "seccomp-inotify": "call inotify_init1", "seccomp-splice": "call splice", "seccomp-set-identity": "call setuid",
    "seccomp-new-mounts": "call open_tree", "root-writable": "root file system", "tmp-exec": "execution in /tmp",
    "tmp-unbounded": "size of /tmp", "tmp-inodes-unbounded": "inodes of /tmp", "tmp-setuid": "options of /tmp",
    "tmp-devices": "options of /tmp", "tmp-for-everybody": "options of /tmp", "cache-unbounded": "size of /cache",
    "cache-inodes-unbounded": "inodes of /cache", "cache-setuid": "options of /cache",
    "shm-exec": "execution in /dev/shm", "shm-unbounded": "size of /dev/shm",
    "shm-inodes-unbounded": "inodes of /dev/shm", "shm-by-size-alone": "inodes of /dev/shm",
    "queues-of-the-engine": "writable places", "another-tmpfs": "mounts", "out-unbounded": "size of /out",
    "out-inodes-unbounded": "inodes of /out", "out-exec": "execution in /out", "out-setuid": "options of /out",
    "out-devices": "options of /out", "out-for-everybody": "owner of /out", "out-of-root": "owner of /out",
    "lab-writable": "options of /lab", "data-writable": "options of /data/common",
    "train-data-writable": "options of /data/train", "out-writable-for-the-referee": "options of /out",
    "mounts-follow-the-host": "options of /lab", "host-root-mounted": "mounts", "host-proc-mounted": "mounts",
    "docker-socket-mounted": "sockets of engines", "validation-in-training": "mounts",
    "training-in-referee": "no train data", "system-paths-unmasked": "covered /proc/keys",
    "system-paths-writable": "read-only /proc/sys", "pids-unlimited": "most processes",
    "memory-unlimited": "most memory", "swap-unlimited": "no swap", "swap-twice": "no swap", "cores-all": "cores",
    "cpu-unlimited": "processor time", "core-files": "no core files", "open-files": "most descriptors",
    "file-size": "largest file", "oom-kill-off": "record OomKillDisable",
    "oom-score": "score for the memory killer", "pid-host": "namespace pid", "ipc-host": "namespace ipc",
    "ipc-shareable": "record IpcMode", "uts-host": "namespace uts", "cgroup-host": "namespace cgroup",
    "user-namespace-host": "record UsernsMode", "device-fuse": "devices", "device-kmsg": "devices",
    "devices-all-allowed": "record DeviceCgroupRules", "sysctl": "record Sysctls", "no-init": "first process",
    "environment-secret": "environment", "environment-preload": "environment", "unsafe-path": "safe path",
    "working-directory": "working directory", "terminal": "open descriptors", "input-open": "open descriptors",
    "log-driver": "record LogConfig", "log-unbounded": "record LogConfig", "restarted": "record RestartPolicy",
    "removed-by-itself": "record AutoRemove",
}  # fmt: skip


def looked_at(name: str, core: int, root: Path) -> Report:
    """The report on the wall with one weakness, and the proof that nothing is left of it."""
    weakened = WeakenedEngine(WEAKENINGS[name])
    spec = a_spec(root / name, lab_id=uuid.uuid4().hex[:8], limits=replace(LIMITS, cpus=(core,), idle_cpus=(core,)))
    try:
        return conformance.examine(weakened, spec, roles=("train", "referee") if "referee" in name else ("train",))
    finally:
        if name == "removed-by-itself":  # the engine was still at it when the volume's turn came
            for volume in weakened.ours(spec.lab_id)[1]:
                weakened.remove_volume(volume)
        assert weakened.ours(spec.lab_id) == ([], [])


@pytest.fixture(scope="module")
def reports(
    request: pytest.FixtureRequest, engine: Engine, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Report]]:
    """Those that this run asks for, a few at a time: most of a container's life is waiting for the engine."""
    del engine  # that it answers and has the image is checked once, before all of these
    root = tmp_path_factory.mktemp("weakened")
    names = [item.callspec.params["name"] for item in request.session.items if hasattr(item, "callspec")
             and item.path == request.path and "name" in item.callspec.params]  # fmt: skip
    cores = sorted(os.sched_getaffinity(0))
    before, conformance.PROBE_SECONDS = conformance.PROBE_SECONDS, STUCK_SECONDS
    with ThreadPoolExecutor(AT_ONCE) as pool:
        futures: dict[str, Future[Report]] = {
            name: pool.submit(looked_at, name, cores[place % len(cores)], root) for place, name in enumerate(names)
        }
        yield lambda name: futures[name].result()
    conformance.PROBE_SECONDS = before


def test_every_weakening_has_its_assertion() -> None:
    assert NOTICED_BY.keys() == WEAKENINGS.keys()
    assert len(WEAKENINGS) >= 100


@pytest.mark.parametrize("name", WEAKENINGS)
def test_each_weakening_is_noticed(name: str, reports: Callable[[str], Report]) -> None:
    try:
        report = reports(name)
    except SandboxUnavailable as error:
        assert name in REFUSED_BY_SOME_ENGINES, error
        assert "refused to" in str(error)
        return
    assert not report.ok
    assert NOTICED_BY[name] in {check.name for check in report.of(Standing.FAILED)}
