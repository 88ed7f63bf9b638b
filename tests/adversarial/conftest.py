"""The real engine, image and data; and how many of the attacks are run."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from fixtures import data_dir, engine, lab_id, make_spec, sandbox

from daemon.selftest import corpus
from daemon.selftest.run import Range, merit, tight
from sandbox.docker_sandbox import DockerSandbox
from sandbox.interface import SandboxSpec

__all__ = ["data_dir", "engine", "lab_id", "make_spec", "sandbox"]
ROWS = 48  # of each evaluation split: enough for every audit here, and a tenth of the referee's work
SLOW = pytest.StashKey[int]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all-attacks", action="store_true", help="run every attack, not the quick ones alone")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow_attack: run with --all-attacks only")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--all-attacks"):
        return
    slow = [item for item in items if item.get_closest_marker("slow_attack")]
    config.stash[SLOW] = len(slow)
    if slow:
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if item not in set(slow)]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if left_out := terminalreporter.config.stash.get(SLOW, 0):
        terminalreporter.write_line(f"attacks: {left_out} tests left out; `make attack` runs them all (--all-attacks)")


@pytest.fixture(scope="session")
def few_rows(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The prepared sample with fewer evaluation rows."""
    folder = tmp_path_factory.mktemp("few") / "data"
    shutil.copytree(data_dir, folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    row_bytes = 2 * (manifest["max_seq_len"] + 1)
    for split in ("val", "holdout"):
        path = folder / split / "rows.bin"
        content = path.read_bytes()[: ROWS * row_bytes]
        path.write_bytes(content)
        facts = {"sha256": hashlib.sha256(content).hexdigest(), "size_bytes": len(content)}
        manifest["files"][f"{split}/rows.bin"] = facts
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


@pytest.fixture
def ground(sandbox: DockerSandbox, make_spec: Callable[..., SandboxSpec], few_rows: Path) -> Range:
    spec = make_spec(b"", data_dir=few_rows)
    core = max(os.sched_getaffinity(0))
    limits = replace(tight(spec.limits), cpus=(core,), idle_cpus=(min(os.sched_getaffinity(0)),))
    return Range(sandbox=sandbox, spec=replace(spec, limits=limits))


@pytest.fixture(scope="session")
def known_merit() -> dict[str, float]:
    return {}


@pytest.fixture
def honest_bpb(known_merit: dict[str, float], ground: Range) -> float:
    """What the honest control is worth; measured once."""
    if not known_merit:
        known_merit["bpb"] = merit(ground, corpus.load(), lambda: False)
    return known_merit["bpb"]
