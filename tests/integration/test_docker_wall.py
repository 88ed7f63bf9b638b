"""The wall from inside: effects, not requests. Each fact is read by a program in the train container itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from daemon.trial import Listener, run_trial
from sandbox.docker_sandbox import DockerSandbox
from sandbox.interface import SandboxSpec

PROBE = r"""
import json, os, pathlib, resource, socket, subprocess
def read(path):
    try: return pathlib.Path(path).read_text()
    except OSError as error: return f"error {error.errno}"
def attempt(action):
    try: action(); return "done"
    except OSError as error: return f"errno {error.errno}"
def write(path): return attempt(lambda: pathlib.Path(path).write_bytes(b"x"))
def listing(path):
    try: return sorted(os.listdir(path))
    except OSError as error: return f"errno {error.errno}"
status = dict(line.split(":\t", 1) for line in read("/proc/self/status").splitlines() if ":\t" in line)
before = {name: listing(f"/data/{name}") for name in ("common", "train", "val", "holdout")}
import prepare
next(prepare.make_dataloader(prepare.Tokenizer.from_directory(), 2, 64, "train"))
def run_from(folder):
    target = pathlib.Path(folder, "prog"); target.write_bytes(pathlib.Path("/bin/true").read_bytes()); target.chmod(0o755)
    subprocess.run([str(target)], check=True)
def connect(): socket.create_connection(("192.0.2.1", 80), timeout=1)
facts = {
    "uid": os.getuid(), "gid": os.getgid(), "groups": os.getgroups(), "cwd": os.getcwd(),
    "capabilities": [status[k].strip() for k in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")],
    "no_new_privileges": status["NoNewPrivs"].strip(), "seccomp": status["Seccomp"].strip(),
    "interfaces": sorted(os.listdir("/sys/class/net")), "routes": read("/proc/net/route").splitlines()[1:],
    "connect": attempt(connect), "hostname": socket.gethostname(), "environment": sorted(os.environ),
    "before": before, "after": {name: listing(f"/data/{name}") for name in ("common", "train", "val", "holdout")},
    "gate": listing("/gate"), "docker_socket": os.path.exists("/var/run/docker.sock"),
    "writes": {p: write(p) for p in ("/x", "/lab/x", "/lab/train.py", "/lab/prepare.py", "/data/common/x", "/data/train/x",
        "/data/common/tokenizer.json", "/opt/venv/x", "/etc/x", "/usr/x", "/out/x", "/tmp/x", "/cache/x", "/dev/shm/x")},
    "execute": {p: attempt(lambda p=p: run_from(p)) for p in ("/tmp", "/out", "/dev/shm", "/cache")},
    "limits": {n: resource.getrlimit(getattr(resource, n)) for n in ("RLIMIT_CORE", "RLIMIT_NOFILE", "RLIMIT_FSIZE")},
    "mount": attempt(lambda: subprocess.run(["mount", "-t", "tmpfs", "t", "/tmp"], check=False)),
    "mounts": {l.split()[1]: l.split()[3] for l in read("/proc/mounts").splitlines() if l.split()[1] in ("/", "/lab", "/tmp", "/out", "/cache", "/dev/shm")}, "pid1": read("/proc/1/comm").strip(), "pids": sorted(int(p) for p in os.listdir("/proc") if p.isdigit()),
    "setuid": subprocess.run(["find", "/", "-xdev", "-perm", "/6000", "-type", "f"], capture_output=True, text=True).stdout.split(),
    "host_memory": read("/sys/fs/cgroup/memory/memory.limit_in_bytes") if os.path.exists("/sys/fs/cgroup/memory") else read("/sys/fs/cgroup/memory.max"),
    "cores": sorted(os.sched_getaffinity(0)),
    "train_readable": [os.access(f"/data/train/{n}", os.R_OK) for n in os.listdir("/data/train")],
}
for name, fact in facts.items(): print("FACT", name, json.dumps(fact))
"""  # noqa: E501 - a program, not prose


@pytest.fixture(scope="module")
def facts_of() -> dict[str, Any]:
    return {}


@pytest.fixture
def facts(facts_of: dict[str, Any], sandbox: DockerSandbox, make_spec: Callable[..., SandboxSpec]) -> dict[str, Any]:
    """What the probe saw; the container runs once for the whole file."""
    if not facts_of:
        spec = make_spec(PROBE, train_seconds=20)
        result = run_trial(sandbox, spec, Listener())
        lines = [line.split(" ", 2) for line in result.log_tail.splitlines() if line.startswith("FACT ")]
        assert lines, (result.reason, result.log_tail)
        facts_of.update({name: json.loads(fact) for _, name, fact in lines}, spec=spec)
    return facts_of


def test_nobody_with_nothing(facts: dict[str, Any]) -> None:
    assert (facts["uid"], facts["gid"]) == (64000, 64000)
    assert 0 not in facts["groups"]
    assert set(facts["capabilities"]) == {"0000000000000000"}
    assert facts["no_new_privileges"] == "1"
    assert facts["seccomp"] == "2"


def test_no_network(facts: dict[str, Any]) -> None:
    assert facts["interfaces"] == ["lo"]
    assert facts["routes"] == []
    assert facts["connect"].startswith("errno")


def test_the_training_tokens_come_with_the_release_and_nothing_else_ever(facts: dict[str, Any]) -> None:
    assert facts["before"]["train"] == []
    assert "index.json" in facts["after"]["train"]
    assert "budget.json" in facts["after"]["train"]
    assert all(facts["train_readable"])
    for split in ("val", "holdout"):
        assert facts["after"][split] == []
    assert facts["gate"] == []
    assert facts["docker_socket"] is False


def test_only_scratch_is_writable(facts: dict[str, Any]) -> None:
    writable = {path for path, what in facts["writes"].items() if what == "done"}
    assert writable == {"/out/x", "/tmp/x", "/cache/x", "/dev/shm/x"}


def test_only_the_cache_may_execute(facts: dict[str, Any]) -> None:
    assert {path for path, what in facts["execute"].items() if what == "done"} == {"/cache"}


def test_limits_hold(facts: dict[str, Any]) -> None:
    limits = facts["spec"].limits
    assert facts["limits"]["RLIMIT_CORE"] == [0, 0]
    assert facts["limits"]["RLIMIT_NOFILE"] == [limits.open_files] * 2
    assert facts["limits"]["RLIMIT_FSIZE"] == [limits.output_bytes] * 2
    assert int(facts["host_memory"]) == limits.memory_bytes
    assert tuple(facts["cores"]) == limits.cpus


def test_scratch_mounts_are_bounded_and_careful(facts: dict[str, Any]) -> None:
    mounts = {path: options.split(",") for path, options in facts["mounts"].items()}
    for path in ("/tmp", "/cache", "/dev/shm", "/out"):
        options = mounts[path]
        assert {"nosuid", "nodev"} <= set(options), path
        assert any(option.startswith("size=") for option in options), path
        assert any(option.startswith("nr_inodes=") for option in options), path
    assert "ro" in mounts["/"]
    assert "ro" in mounts["/lab"]


def test_the_image_offers_no_way_up(facts: dict[str, Any]) -> None:
    assert facts["setuid"] == []


def test_processes_of_the_host_are_out_of_sight(facts: dict[str, Any]) -> None:
    assert facts["pid1"] == "docker-init"
    assert len(facts["pids"]) <= 8


def test_the_environment_is_the_fixed_list(facts: dict[str, Any]) -> None:
    assert set(facts["environment"]) <= {
        "PATH", "HOME", "TMPDIR", "LANG", "USER", "HOSTNAME", "PYTHONPATH", "PYTHONSAFEPATH", "PYTHONDONTWRITEBYTECODE",
        "PYTHONUNBUFFERED", "OMP_NUM_THREADS", "OMP_WAIT_POLICY", "XDG_CACHE_HOME", "TORCHINDUCTOR_CACHE_DIR",
        "TRITON_CACHE_DIR", "CUDA_CACHE_PATH", "HF_HUB_OFFLINE", "AUTORESEARCH_PROFILE", "AUTORESEARCH_DATA",
        "AUTORESEARCH_OUT", "AUTORESEARCH_SEED", "AUTORESEARCH_TRAIN_SECONDS",
    }  # fmt: skip
    assert facts["hostname"] == "sandbox"
    assert facts["cwd"] == "/lab"
