"""What the self-check cannot see, since its containers hold no real data: the release of the training tokens."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from daemon.trial import Listener, run_trial
from sandbox.docker_sandbox import DockerSandbox
from sandbox.interface import SandboxSpec

PROBE = r"""
import json, os, pathlib
def attempt(action):
    try: action(); return "done"
    except OSError as error: return f"errno {error.errno}"
def listing(path):
    try: return sorted(os.listdir(path))
    except OSError as error: return f"errno {error.errno}"
SPLITS = ("common", "train", "val", "holdout")
before = {name: listing(f"/data/{name}") for name in SPLITS}
import prepare
next(prepare.make_dataloader(prepare.Tokenizer.from_directory(), 2, 64, "train"))
names = os.listdir("/data/train")
facts = {
    "before": before, "after": {name: listing(f"/data/{name}") for name in SPLITS}, "gate": listing("/gate"),
    "readable": [os.access(f"/data/train/{name}", os.R_OK) for name in names],
    "written": {p: attempt(lambda: pathlib.Path(p).write_bytes(b"x")) for p in (
        "/data/train/x", "/data/common/x", "/data/common/tokenizer.json", *(f"/data/train/{name}" for name in names))},
    "linked": attempt(lambda: os.link(f"/data/train/{names[0]}", "/out/kept")),
}
for name, fact in facts.items(): print("FACT", name, json.dumps(fact))
"""


@pytest.fixture
def facts(sandbox: DockerSandbox, make_spec: Callable[..., SandboxSpec]) -> dict[str, Any]:
    result = run_trial(sandbox, make_spec(PROBE, train_seconds=20), Listener())
    lines = [line.split(" ", 2) for line in result.log_tail.splitlines() if line.startswith("FACT ")]
    assert lines, (result.reason, result.log_tail)
    return {name: json.loads(fact) for _, name, fact in lines}


def test_the_training_tokens_come_with_the_release_and_nothing_else_ever(facts: dict[str, Any]) -> None:
    assert facts["before"]["train"] == []
    assert {"index.json", "budget.json"} <= set(facts["after"]["train"])
    assert all(facts["readable"])
    for split in ("val", "holdout"):
        assert facts["before"][split] == facts["after"][split] == []
    assert facts["gate"] == []
    assert {answer for answer in facts["written"].values() if answer == "done"} == set()
    assert facts["linked"].startswith("errno")  # another file system: no hard link carries tokens out
