"""Who one is inside, what is mounted, and what may be written. See :mod:`sandbox.assertions`."""

from __future__ import annotations

from collections.abc import Iterator

from sandbox.assertions.base import Assertion, Facts, Layer, equals, fact, flags, one_of, within
from sandbox.interface import SandboxSpec

NONE = "0000000000000000"
INITIAL_NAMESPACES = {"cgroup": 4026531835, "pid": 4026531836, "user": 4026531837, "uts": 4026531838, "ipc": 4026531839}
SCRATCH = ("/tmp", "/cache", "/dev/shm")  # noqa: S108 - inside the container
DEVICES = {
    "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout", "tty", "urandom",
    "zero", "console", "core",
}  # fmt: skip
ENVIRONMENT = {
    "PATH", "HOME", "TMPDIR", "LANG", "USER", "HOSTNAME", "PYTHONPATH", "PYTHONSAFEPATH",
    "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "OMP_NUM_THREADS", "OMP_WAIT_POLICY", "XDG_CACHE_HOME",
    "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR", "CUDA_CACHE_PATH", "HF_HUB_OFFLINE", "AUTORESEARCH_PROFILE",
    "AUTORESEARCH_DATA", "AUTORESEARCH_OUT", "AUTORESEARCH_SEED", "AUTORESEARCH_TRAIN_SECONDS",
}  # fmt: skip
GPU_ENVIRONMENT = {"NVIDIA_DRIVER_CAPABILITIES", "NVIDIA_VISIBLE_DEVICES"}
ENGINE_MOUNTS = {
    "/", "/proc", "/dev", "/dev/pts", "/dev/mqueue", "/dev/console", "/sys", "/etc/resolv.conf", "/etc/hostname",
    "/etc/hosts", "/run/.containerenv", "/sbin/docker-init", "/usr/sbin/docker-init", "/dev/init",
    "/run/podman-init", "/run/secrets",
}  # fmt: skip
MOUNTS = {
    "train": {"/lab", "/data/common", "/data/train", "/out"},
    "referee": {"/gate", "/data/common", "/data/val", "/out"},
}
INITS = {"docker-init", "tini", "catatonit"}


def places(role: str, spec: SandboxSpec, *, selinux: bool) -> Iterator[Assertion]:
    """Every assertion about identity, neighbours, mounts and files."""
    yield from _nobody(role, spec, selinux)
    yield from _alone(role)
    yield from _mounts(role, spec)
    yield from _places(role, spec)


def _nobody(role: str, spec: SandboxSpec, selinux: bool) -> Iterator[Assertion]:
    uid = spec.slot.trainer_uid if role == "train" else spec.slot.referee_uid
    gid = str(spec.slot.gid)
    yield equals("user", "users", " ".join([str(uid)] * 4), "real, effective, saved and file-system user")
    yield equals("groups", "groups", f"{' '.join([gid] * 4)} + {gid}", "a user without a group is in group 0")
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        layer = Layer.HOST_KERNEL if name == "CapAmb" else Layer.ALWAYS  # gVisor has none, and no word for it
        yield equals(f"capabilities {name}", name, NONE, "only the bounding set shows a drop that was forgotten", layer)
    yield equals(
        "no new privileges", "NoNewPrivs", "1", "setuid files and file capabilities give nothing", Layer.HOST_KERNEL
    )
    yield equals("seccomp mode", "Seccomp", "2", "a filter decides on every system call", Layer.HOST_KERNEL)
    yield Assertion(
        name="AppArmor", expected=f"{spec.apparmor or 'docker-default'} (enforce)", seen=fact("confinement"),
        holds=lambda seen: seen == f"{spec.apparmor} (enforce)",
        layer=Layer.ALWAYS if spec.apparmor else Layer.OPTIONAL,
        why="a second opinion on paths and mounts; an engine without it accepts any profile's name in silence",
    )  # fmt: skip
    yield Assertion(
        name="SELinux", expected="a type of containers", seen=fact("confinement"),
        holds=lambda seen: ":container_" in seen, layer=Layer.ALWAYS if selinux else Layer.OPTIONAL,
        why="keeps containers from files that are not theirs",
    )  # fmt: skip
    yield Assertion(
        name="user namespace", expected="one of its own", seen=fact("namespace user"), layer=Layer.OPTIONAL,
        holds=lambda seen: seen != str(INITIAL_NAMESPACES["user"]), why="root inside would be nobody outside",
    )  # fmt: skip


def _alone(role: str) -> Iterator[Assertion]:
    yield equals("interfaces", "interfaces", "lo", "nobody to talk to")
    yield equals("routes", "routes", "", "nowhere to go")
    yield within("routes of IPv6", "routes 6", {"lo"}, "nowhere to go")
    yield equals("unix sockets of others", "unix sockets", "0", "abstract sockets belong to a network namespace")
    yield equals("sockets of engines", "engine sockets", "", "whoever speaks to one owns the machine")
    yield equals("host name", "hostname", "sandbox", "a constant: nothing of the host is told")
    for space in ("cgroup", "ipc", "pid", "uts"):
        yield Assertion(
            name=f"namespace {space}", expected="not the host's", seen=fact(f"namespace {space}"),
            layer=Layer.HOST_KERNEL,
            holds=lambda seen, s=space: seen != str(INITIAL_NAMESPACES[s]),  # type: ignore[misc]
            why="what is shared with the host can be seen, signalled or filled up",
        )  # fmt: skip
    yield Assertion(
        name="first process", expected="an init", seen=fact("first"), holds=lambda seen: seen in INITS,
        why="reaps what a candidate leaves, and its end is the end of all", layer=Layer.HOST_KERNEL,
    )  # fmt: skip
    yield equals("backstop", "parent", "timeout", "ends the run when the daemon is dead")
    yield within("processes in sight", "processes", {*INITS, "timeout", "python", "python3"}, "none of the host's")
    yield within(
        "open descriptors", "descriptors", {"0=/dev/null", "1=pipe", "2=pipe"},
        "a leaked one of a folder was an escape (CVE-2024-21626)", Layer.HOST_KERNEL,
    )  # fmt: skip
    yield within(
        "descriptors of the first process", "descriptors of 1",
        {"0=/dev/null", "1=pipe", "2=pipe", "unreadable"}, "it is the one that a runtime leaks into", Layer.HOST_KERNEL,
    )  # fmt: skip
    yield equals("safe path", "safe_path", "1", "else a planted random.py is imported")
    yield equals("working directory", "directory", "/lab" if role == "train" else "/", "read-only, and always the same")
    yield Assertion(
        name="score for the memory killer", expected="0 or more", seen=fact("oom_score_adj"),
        holds=lambda seen: seen.isdigit(), why="the host's own programs must not be the first to go",
    )  # fmt: skip


def _mounts(role: str, spec: SandboxSpec) -> Iterator[Assertion]:
    expected = ENGINE_MOUNTS | MOUNTS[role] | set(SCRATCH)

    def others(facts: Facts) -> str | None:
        paths = {name.removeprefix("mount ") for name in facts if name.startswith("mount ")}
        apart = ("/proc/", "/sys/fs/cgroup", "/sys/firmware", "/sys/devices/virtual")
        rest = sorted(p for p in paths - expected if not p.startswith(apart) and not (spec.gpu and _of_gpu(p)))
        return " ".join(rest) if paths else None

    yield Assertion(
        name="mounts", expected="only those that are asked for", seen=others, holds=lambda seen: seen == "",
        why="no folder of the host, no other split of the data",
    )  # fmt: skip
    yield flags("root file system", "mount /", {"ro"}, "nothing to plant")
    for path in SCRATCH:
        executable = set() if path == "/cache" else {"noexec"}
        wanted = {"rw", "nosuid", "nodev", "mode=700", *executable}
        yield flags(
            f"options of {path}", f"mount {path}", wanted, "scratch of this user alone; code only where it must be",
            layer=Layer.HOST_KERNEL,
        )  # fmt: skip
    yield flags(
        "options of /dev/mqueue", "mount /dev/mqueue", {"ro", "nosuid", "nodev", "noexec"}, "a file there is a queue",
        layer=Layer.HOST_KERNEL,
    )  # fmt: skip
    for path in sorted(MOUNTS[role] - {"/out"}):
        yield flags(
            f"options of {path}", f"mount {path}", {"ro"}, "and what the host mounts later stays outside",
            unwanted={"master", "shared"},
        )  # fmt: skip
    if role == "train":
        out = {"rw", "nosuid", "nodev", "noexec", "nr_inodes=256"}
        yield flags("options of /out", "mount /out", out, "the only way out, for data alone", layer=Layer.HOST_KERNEL)
    else:
        yield flags("options of /out", "mount /out", {"ro"}, "the referee only reads what was handed over")
    owner = f"750 {spec.slot.trainer_uid}:{spec.slot.gid}"
    yield equals("owner of /out", "out", owner, "the trainer writes, the referee's group reads, nobody else looks")


def _of_gpu(path: str) -> bool:
    return "nvidia" in path or path.startswith(("/usr/lib", "/dev/dri"))


def _places(role: str, spec: SandboxSpec) -> Iterator[Assertion]:
    writable = {*SCRATCH, *(["/out"] if role == "train" else [])}
    yield equals(
        "writable places", "writable", " ".join(sorted(writable)), "what is written is bounded, and gone afterwards"
    )
    for path in writable - {"/cache"}:
        yield one_of(
            f"execution in {path}", f"execute {path}", ("EACCES", "EPERM"), "programs run from /cache alone",
            Layer.HOST_KERNEL if path == "/out" else Layer.ALWAYS,
        )  # fmt: skip
    yield equals("privileged files", "privileged files", "", "no setuid, setgid or capability on any file")
    sockets = {"/run/nvidia-persistenced/socket"} if spec.gpu else set[str]()
    yield within("sockets and disks", "sockets and disks", sockets, "no socket of the host, no block device")
    if spec.gpu is None:
        yield within("devices", "devices", DEVICES, "none but the harmless ones", Layer.HOST_KERNEL)
        yield equals("compilers", "compilers", "", "the image has none where none is needed")
    yield equals("tools", "tools", "", "no installer and no client in the image")
    yield within("environment", "environment", ENVIRONMENT | (GPU_ENVIRONMENT if spec.gpu else set()), "a fixed list")
    for path in ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger", "/sys"):
        yield one_of(
            f"read-only {path}", f"read-only {path}", ("returned True", "ENOENT"), "settings of the whole host",
            Layer.HOST_KERNEL,
        )  # fmt: skip
    for path in "acpi asound kcore keys latency_stats sched_debug scsi timer_list timer_stats".split():  # noqa: SIM905
        name = f"covered /proc/{path}"
        yield one_of(name, name, ("covered", "absent"), "tells of the host", Layer.HOST_KERNEL)
    yield one_of(
        "covered /sys/firmware", "covered /sys/firmware", ("covered", "absent"), "tells of the host", Layer.HOST_KERNEL
    )
    yield _no_control_file_opens()
    split = "train" if role == "train" else "val"
    other = "val" if role == "train" else "train"
    yield one_of(
        f"no {other} data", f"listing /data/{other}", ("", "absent"), "its tokens are in the other container alone"
    )
    expected = "" if split == "train" else "tokens"
    yield equals(
        f"{split} data", f"listing /data/{split}", expected, "the training tokens come with the release, not before"
    )
    yield equals(
        "handed over", "left", "by the trainer", "the volume carries the sealed model, and nothing else passes"
    )


def _no_control_file_opens() -> Assertion:
    def opened(facts: Facts) -> str | None:
        answers = {name: seen for name, seen in facts.items() if name.startswith("write ")}
        return (
            " ".join(sorted(n.split()[1] for n, s in answers.items() if s.startswith("returned"))) if answers else None
        )

    return Assertion(
        name="control files", expected="none opens for writing", seen=opened, holds=lambda seen: seen == "",
        why="core_pattern, sysrq, cgroup and device controls, and the approved bytes themselves",
    )  # fmt: skip
