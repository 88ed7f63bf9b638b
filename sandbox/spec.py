"""From a :class:`SandboxSpec` to the exact bodies that the engine is sent. Pure, and pinned by golden files.

No byte of an image, environment, label, mount, name or working directory derives from what a proposer wrote.
The reason for each field stands in docs/boundary.md, "The container".
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from sandbox import seccomp
from sandbox.interface import Errand, MiB, SandboxSpec
from sandbox.rundir import RunDir

PROJECT = "autoresearchd"
LABEL = "org.autoresearchd"
PYTHON = "/opt/venv/bin/python"
Body = dict[str, Any]


def container_name(spec: SandboxSpec, role: str) -> str:
    return f"autoresearch-{spec.lab_id}-{spec.run_id}-{role}"


def volume_name(spec: SandboxSpec) -> str:
    return f"autoresearch-{spec.lab_id}-{spec.run_id}-out"


def volume_body(spec: SandboxSpec) -> Body:
    """The tmpfs that carries the sealed model: bounded by construction, gone with its last container."""
    limits, slot = spec.limits, spec.slot
    options = (
        f"size={limits.output_bytes},nr_inodes=256,uid={slot.trainer_uid},gid={slot.gid},mode=0750,noexec,nosuid,nodev"
    )
    return {
        "Name": volume_name(spec),
        "Driver": "local",
        "DriverOpts": {"type": "tmpfs", "device": "tmpfs", "o": options},
        "Labels": labels(spec, "out"),
    }


def train_body(spec: SandboxSpec, run: RunDir) -> Body:
    """The hostile container."""
    times = spec.times
    # A last backstop inside, for the case that the daemon itself is dead: PID 1 ends with its only child.
    backstop = int(times.startup_seconds + times.train_seconds + 60)
    body = _hardened(spec, "train", uid=spec.slot.trainer_uid, cpus=spec.limits.cpus)
    body["Cmd"] = ["/usr/bin/timeout", "--signal=KILL", str(backstop), PYTHON, "-P", "/lab/train.py"]
    body["WorkingDir"] = "/lab"
    body["Env"] += [
        "PYTHONPATH=/lab",
        f"AUTORESEARCH_PROFILE={spec.profile}",
        "AUTORESEARCH_DATA=/data",
        "AUTORESEARCH_OUT=/out",
        f"AUTORESEARCH_SEED={spec.seed}",
        f"AUTORESEARCH_TRAIN_SECONDS={times.train_seconds:g}",
    ]
    body["HostConfig"]["Mounts"] = [
        _bind(str(run.lab), "/lab"),
        _bind(str(spec.data_dir / "common"), "/data/common"),
        _bind(str(run.train), "/data/train"),
        _volume(spec, read_only=False),
    ]
    return body


def referee_body(spec: SandboxSpec, run: RunDir) -> Body:
    """The trusted scorer, as tightly held: its data is hostile. It alone sees the validation rows."""
    times = spec.times
    backstop = int(times.startup_seconds + times.train_seconds + times.score_seconds + 120)
    body = _hardened(spec, "referee", uid=spec.slot.referee_uid, cpus=spec.limits.idle_cpus)
    body["HostConfig"]["NanoCpus"] = len(spec.limits.scoring_cpus) * 10**9  # once its cores are given to it
    body["Cmd"] = [
        "/usr/bin/timeout", "--signal=KILL", str(backstop), PYTHON, "-P", "-m", "autoresearch_guest.referee",
        "--gate", "/gate", "--sealed", "/out", "--data", "/data", "--split", "val",
        "--seq-len", str(spec.seq_len), "--vocab-size", str(spec.vocab_size),
        "--audit-rows", str(spec.audit_rows), "--confirm-rows", str(spec.confirm_rows),
        "--device", _device(spec), *_keep_words(spec),
    ]  # fmt: skip
    body["WorkingDir"] = "/"
    body["HostConfig"]["Mounts"] = [
        _bind(str(run.gate), "/gate"),
        _bind(str(spec.data_dir / "common"), "/data/common"),
        _bind(str(spec.data_dir / "val"), "/data/val"),
        _volume(spec, read_only=True),
        *([_bind(str(run.kept), "/keep", read_only=False)] if spec.keep else []),
    ]
    return body


def errand_body(spec: SandboxSpec, run: RunDir, errand: Errand) -> Body:
    """A run of the referee's image outside a trial. The holdout is seen by one kind of them, and by nothing else."""
    if errand is Errand.BENCHMARK:
        program, mounts, cpus = ["autoresearch_guest.benchmark"], [], spec.limits.cpus
    else:
        program, mounts, cpus = _holdout_words(spec), _holdout_mounts(spec, run), spec.limits.scoring_cpus
    backstop = int(spec.times.score_seconds + 60)
    body = _hardened(spec, errand.value, uid=spec.slot.referee_uid, cpus=cpus)
    body["HostConfig"]["NanoCpus"] = len(cpus) * 10**9
    body["Cmd"] = [
        "/usr/bin/timeout", "--signal=KILL", str(backstop), PYTHON, "-P", "-m", *program, "--device", _device(spec),
    ]  # fmt: skip
    body["WorkingDir"] = "/"
    body["HostConfig"]["Mounts"] = mounts
    return body


def _holdout_words(spec: SandboxSpec) -> list[str]:
    return [
        "autoresearch_guest.referee", "--sealed", "/sealed", "--data", "/data", "--split", "holdout",
        "--seq-len", str(spec.seq_len), "--vocab-size", str(spec.vocab_size), "--audit-rows", str(spec.audit_rows),
    ]  # fmt: skip


def _holdout_mounts(spec: SandboxSpec, run: RunDir) -> list[Body]:
    return [
        _bind(str(run.sealed), "/sealed"),
        _bind(str(spec.data_dir / "common"), "/data/common"),
        _bind(str(spec.data_dir / "holdout"), "/data/holdout"),
    ]


def _device(spec: SandboxSpec) -> str:
    return "cuda" if spec.gpu else "cpu"


def _keep_words(spec: SandboxSpec) -> list[str]:
    return ["--keep", "/keep", "--keep-mib", str(spec.limits.output_bytes // MiB)] if spec.keep else []


def labels(spec: SandboxSpec, role: str) -> dict[str, str]:
    return {
        f"{LABEL}.project": PROJECT,
        f"{LABEL}.lab": spec.lab_id,
        f"{LABEL}.run": spec.run_id,
        f"{LABEL}.role": role,
    }


def _hardened(spec: SandboxSpec, role: str, *, uid: int, cpus: tuple[int, ...]) -> Body:
    body: Body = {
        "Image": spec.image,
        "User": f"{uid}:{spec.slot.gid}",
        "Hostname": "sandbox",
        "Env": _environment(spec),
        "Entrypoint": None,
        "Tty": False,
        "OpenStdin": False,
        "Labels": labels(spec, role),
        "HostConfig": _host_config(spec, uid, cpus),
    }
    if spec.gpu:
        body["HostConfig"]["DeviceRequests"] = [_gpu_request(spec.gpu)]
    if spec.runtime:
        body["HostConfig"]["Runtime"] = spec.runtime
    body["Labels"][f"{LABEL}.config"] = _digest(body)
    return body


def _environment(spec: SandboxSpec) -> list[str]:
    variables = {
        "PATH": "/opt/venv/bin:/usr/bin:/bin",
        "HOME": "/tmp",  # noqa: S108 - inside the container
        "TMPDIR": "/tmp",  # noqa: S108
        "LANG": "C.UTF-8",
        "USER": "lab",  # the slot's uid has no name, and torch asks for one
        "PYTHONSAFEPATH": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        "OMP_NUM_THREADS": str(len(spec.limits.cpus)),
        "OMP_WAIT_POLICY": "PASSIVE",
        "XDG_CACHE_HOME": "/cache",
        "TORCHINDUCTOR_CACHE_DIR": "/cache/inductor",
        "TRITON_CACHE_DIR": "/cache/triton",
        "CUDA_CACHE_PATH": "/cache/cuda",
        "HF_HUB_OFFLINE": "1",
    }
    if spec.gpu:
        variables["NVIDIA_DRIVER_CAPABILITIES"] = "compute,utility"
    return [f"{name}={value}" for name, value in variables.items()]


def _host_config(spec: SandboxSpec, uid: int, cpus: tuple[int, ...]) -> Body:
    limits = spec.limits

    def tmpfs(execution: str, size_bytes: int) -> str:
        # Owned by the container's own user: runc may give a tmpfs the mode of the folder it covers, whatever is asked.
        owner = f"uid={uid},gid={spec.slot.gid},mode=0700"
        return f"rw,{execution},nosuid,nodev,size={size_bytes},nr_inodes={limits.inodes},{owner}"

    return {
        "NetworkMode": "none",
        "ReadonlyRootfs": True,
        "Privileged": False,
        "CapDrop": ["ALL"],
        "SecurityOpt": _security(spec),
        "PidsLimit": limits.pids,
        "Memory": limits.memory_bytes,
        "MemorySwap": limits.memory_bytes,
        "CpusetCpus": cpuset(cpus),
        "NanoCpus": len(limits.cpus) * 10**9,
        "Ulimits": [
            {"Name": "core", "Soft": 0, "Hard": 0},
            {"Name": "nofile", "Soft": limits.open_files, "Hard": limits.open_files},
            {"Name": "fsize", "Soft": limits.output_bytes, "Hard": limits.output_bytes},
        ],
        "Tmpfs": {
            "/tmp": tmpfs("noexec", limits.tmp_bytes),  # noqa: S108
            # Inductor and Triton load what they compile, and nothing can be loaded from a noexec mount.
            "/cache": tmpfs("exec", limits.cache_bytes),
            "/dev/shm": tmpfs("noexec", limits.shm_bytes),  # noqa: S108
            # The engine's own mount here is writable for everybody, and a file made in it is a message queue.
            "/dev/mqueue": "ro,noexec,nosuid,nodev,size=4096,nr_inodes=1,mode=0555",
        },
        "IpcMode": "private",
        "CgroupnsMode": "private",
        "PidMode": "",
        "UTSMode": "",
        "UsernsMode": "",
        "Init": True,
        "AutoRemove": False,
        "RestartPolicy": {"Name": "no"},
        "LogConfig": {"Type": "local", "Config": {"max-size": "4m", "max-file": "1", "compress": "false"}},
        "OomKillDisable": False,
    }


def _security(spec: SandboxSpec) -> list[str]:
    """SELinux needs no word here: where the engine confines by it, it does so unless told ``label=disable``."""
    apparmor = [f"apparmor={spec.apparmor}"] if spec.apparmor else []
    return ["no-new-privileges:true", f"seccomp={seccomp.profile_text()}", *apparmor]


def cpuset(cpus: tuple[int, ...]) -> str:
    return ",".join(str(cpu) for cpu in cpus)


def _bind(source: str, target: str, *, read_only: bool = True) -> Body:
    return {
        "Type": "bind",
        "Source": source,
        "Target": target,
        "ReadOnly": read_only,
        "BindOptions": {"Propagation": "rprivate"},
    }


def _volume(spec: SandboxSpec, *, read_only: bool) -> Body:
    return {
        "Type": "volume",
        "Source": volume_name(spec),
        "Target": "/out",
        "ReadOnly": read_only,
        "VolumeOptions": {"NoCopy": True},
    }


def _gpu_request(gpu: str) -> Body:
    """By CDI where the name is one (``nvidia.com/gpu=…``), else by UUID through the NVIDIA toolkit."""
    if "=" in gpu:
        return {"Driver": "cdi", "DeviceIDs": [gpu]}
    return {"DeviceIDs": [gpu], "Capabilities": [["gpu", "compute", "utility"]]}


def _digest(body: Body) -> str:
    """A name for the configuration, the same for every run of one lab and role."""
    fixed = {key: value for key, value in body.items() if key not in ("Labels",)}
    return hashlib.sha256(json.dumps(fixed, sort_keys=True).encode()).hexdigest()[:16]
