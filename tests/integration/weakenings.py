"""Each way of weakening one field of the hardened containers: name -> a function over the request, in place.

For :class:`weakened.WeakenedEngine`. Used in two directions: the self-check must notice every one of them, and an
attack must succeed once against the wall that lacks what stops it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from weakening_forms import (
    Weakening,
    allowing,
    host,
    mounted,
    no_tmpfs,
    seccomp,
    security,
    tmpfs,
    top,
    ulimit,
    unbounded_tmpfs,
    volume,
    writable,
)

from sandbox.spec import Body


def _with_32_bit(profile: dict[str, Any]) -> None:
    for architecture, sub in zip(
        profile["archMap"], (["SCMP_ARCH_X86", "SCMP_ARCH_X32"], ["SCMP_ARCH_ARM"]), strict=True
    ):
        architecture["subArchitectures"] = sub


def _user(change: Callable[[str, str], str], only: str = "") -> Weakening:
    def weaken(role: str, body: Body) -> None:
        if role != "volume" and only in ("", role):
            body["User"] = change(*body["User"].split(":"))

    return weaken


def _environment(*more: str) -> Weakening:
    def weaken(role: str, body: Body) -> None:
        if role != "volume":
            body["Env"] = [*body["Env"], *more]

    return weaken


def _not_safe_path(role: str, body: Body) -> None:
    """Without ``-P`` and its variable, the folder of the program comes first on the path."""
    if role != "volume":
        body["Cmd"] = [word for word in body["Cmd"] if word != "-P"]
        body["Env"] = [*(v for v in body["Env"] if not v.startswith("PYTHONSAFEPATH")), "PYTHONSAFEPATH="]


def _shared_propagation(role: str, body: Body) -> None:
    if role != "volume":
        for mount in body["HostConfig"]["Mounts"]:
            if mount["Type"] == "bind":
                mount["BindOptions"]["Propagation"] = "rslave"


def _validation_in_training(role: str, body: Body) -> None:
    """The training container gets the folder that holds every split."""
    if role == "train":
        common = next(m for m in body["HostConfig"]["Mounts"] if m["Target"] == "/data/common")
        source = common["Source"].removesuffix("/common")
        body["HostConfig"]["Mounts"].append({**common, "Source": source, "Target": "/mnt"})


def _training_in_referee(role: str, body: Body) -> None:
    if role == "referee":
        common = next(m for m in body["HostConfig"]["Mounts"] if m["Target"] == "/data/common")
        source = common["Source"].removesuffix("/common") + "/train"
        body["HostConfig"]["Mounts"].append({**common, "Source": source, "Target": "/data/train"})


def _another_tmpfs(role: str, body: Body) -> None:
    if role != "volume":
        body["HostConfig"]["Tmpfs"]["/run"] = "rw"


def _device(path: str) -> Weakening:
    return host(Devices=[{"PathOnHost": path, "PathInContainer": path, "CgroupPermissions": "rwm"}])


def _not_seccomp(option: str) -> bool:
    return not option.startswith("seccomp=")


WEAKENINGS: dict[str, Weakening] = {
    # Network and name
    "network-bridge": host(NetworkMode="bridge"),
    "network-host": host(NetworkMode="host"),
    "hostname": top(Hostname="other"),
    # User and privilege
    "privileged": host(Privileged=True),
    "user-root": _user(lambda _uid, _gid: "0:0"),
    "user-without-group": _user(lambda uid, _gid: uid),
    "group-root-added": host(GroupAdd=["0"]),
    "capabilities-default": host(CapDrop=[]),
    "capability-net-raw": host(CapAdd=["NET_RAW"]),
    "capability-sys-admin": host(CapAdd=["SYS_ADMIN"]),
    "capability-sys-ptrace": host(CapAdd=["SYS_PTRACE"]),
    "new-privileges": security(lambda option: not option.startswith("no-new-privileges")),
    "new-privileges-and-no-seccomp": security(lambda _option: False, "seccomp=unconfined"),
    # System calls
    "seccomp-off": security(_not_seccomp, "seccomp=unconfined"),
    "seccomp-of-the-engine": security(_not_seccomp),
    "seccomp-32-bit": seccomp(_with_32_bit),
    "seccomp-io-uring": allowing("io_uring_setup", "io_uring_enter", "io_uring_register"),
    "seccomp-sockets": allowing("socket", "socketpair"),
    "seccomp-ptrace": allowing("ptrace"),
    "seccomp-process-vm": allowing("process_vm_readv", "process_vm_writev"),
    "seccomp-pidfd-getfd": allowing("pidfd_getfd"),
    "seccomp-kcmp": allowing("kcmp"),
    "seccomp-keyrings": allowing("add_key", "request_key", "keyctl"),
    "seccomp-bpf": allowing("bpf"),
    "seccomp-perf": allowing("perf_event_open"),
    "seccomp-userfaultfd": allowing("userfaultfd"),
    "seccomp-sysv-ipc": allowing("msgget", "semget", "shmget"),
    "seccomp-message-queues": allowing("mq_open"),
    "seccomp-personality": allowing("personality"),
    "seccomp-clone": allowing("clone"),
    "seccomp-clone3": allowing("clone3"),
    "seccomp-unshare": allowing("unshare"),
    "seccomp-setns": allowing("setns"),
    "seccomp-mknod": allowing("mknod", "mknodat"),
    "seccomp-handles": allowing("name_to_handle_at"),
    "seccomp-aio": allowing("io_setup"),
    "seccomp-inotify": allowing("inotify_init1"),
    "seccomp-splice": allowing("splice", "tee", "vmsplice"),
    "seccomp-set-identity": allowing("setuid", "setgid", "setresuid", "setresgid"),
    "seccomp-new-mounts": allowing("fsopen", "open_tree", "mount_setattr", "move_mount"),
    # File systems
    "root-writable": host(ReadonlyRootfs=False),
    "tmp-exec": tmpfs("/tmp", "noexec", "exec"),
    "tmp-unbounded": unbounded_tmpfs("/tmp", "size="),
    "tmp-inodes-unbounded": unbounded_tmpfs("/tmp", "nr_inodes="),
    "tmp-setuid": tmpfs("/tmp", "nosuid", "suid"),
    "tmp-devices": tmpfs("/tmp", "nodev", "dev"),
    "tmp-for-everybody": tmpfs("/tmp", "mode=0700", "mode=1777"),
    "cache-unbounded": unbounded_tmpfs("/cache", "size="),
    "cache-inodes-unbounded": unbounded_tmpfs("/cache", "nr_inodes="),
    "cache-setuid": tmpfs("/cache", "nosuid", "suid"),
    "shm-exec": tmpfs("/dev/shm", "noexec", "exec"),
    "shm-unbounded": unbounded_tmpfs("/dev/shm", "size="),
    "shm-inodes-unbounded": unbounded_tmpfs("/dev/shm", "nr_inodes="),
    "shm-by-size-alone": no_tmpfs("/dev/shm"),
    "queues-of-the-engine": no_tmpfs("/dev/mqueue"),
    "another-tmpfs": _another_tmpfs,
    "out-unbounded": volume("size=", ""),
    "out-inodes-unbounded": volume("nr_inodes=", ""),
    "out-exec": volume("noexec", ""),
    "out-setuid": volume("nosuid", ""),
    "out-devices": volume("nodev", ""),
    "out-for-everybody": volume("mode=", "mode=0777"),
    "out-of-root": volume("uid=", "uid=0"),
    "lab-writable": writable("/lab", "train"),
    "data-writable": writable("/data/common", "train"),
    "train-data-writable": writable("/data/train", "train"),
    "out-writable-for-the-referee": writable("/out", "referee"),
    "mounts-follow-the-host": _shared_propagation,
    "host-root-mounted": mounted("/", "/host"),
    "host-proc-mounted": mounted("/proc", "/host-proc"),
    "docker-socket-mounted": mounted("/var/run/docker.sock", "/var/run/docker.sock"),
    "validation-in-training": _validation_in_training,
    "training-in-referee": _training_in_referee,
    "system-paths-unmasked": host(MaskedPaths=[]),
    "system-paths-writable": host(ReadonlyPaths=[]),
    # Limits
    "pids-unlimited": host(PidsLimit=0),
    "memory-unlimited": host(Memory=0, MemorySwap=0),
    "swap-unlimited": host(MemorySwap=-1),
    "swap-twice": host(MemorySwap=0),
    "cores-all": host(CpusetCpus=""),
    "cpu-unlimited": host(NanoCpus=0),
    "core-files": ulimit("core"),
    "open-files": ulimit("nofile"),
    "file-size": ulimit("fsize"),
    "oom-kill-off": host(OomKillDisable=True),
    "oom-score": host(OomScoreAdj=-500),
    # Namespaces and devices
    "pid-host": host(PidMode="host"),
    "ipc-host": host(IpcMode="host"),
    "ipc-shareable": host(IpcMode="shareable"),
    "uts-host": host(UTSMode="host"),
    "cgroup-host": host(CgroupnsMode="host"),
    "user-namespace-host": host(UsernsMode="host"),
    "device-fuse": _device("/dev/fuse"),
    "device-kmsg": _device("/dev/kmsg"),
    "devices-all-allowed": host(DeviceCgroupRules=["a *:* rwm"]),
    "sysctl": host(Sysctls={"net.ipv4.ip_default_ttl": "65"}),
    # The program
    "no-init": host(Init=False),
    "environment-secret": _environment("AWS_SECRET_ACCESS_KEY=x"),
    "environment-preload": _environment("LD_PRELOAD=/tmp/x.so"),
    "unsafe-path": _not_safe_path,
    "working-directory": top(WorkingDir="/tmp"),
    "terminal": top(Tty=True),
    "input-open": top(OpenStdin=True),
    # What only the engine knows
    "log-driver": host(LogConfig={"Type": "json-file", "Config": {}}),
    "log-unbounded": host(LogConfig={"Type": "local", "Config": {"max-size": "400m"}}),
    "restarted": host(RestartPolicy={"Name": "always"}),
    "removed-by-itself": host(AutoRemove=True),
}
"""Name -> what it does to the requests. Some the engine refuses to take; the others the self-check must notice."""
