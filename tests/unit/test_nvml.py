"""NVIDIA's own Python binding against a library that answers as the driver would. It proves nothing of a real GPU."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from specs import REPOSITORY

SOURCE = Path(__file__).with_name("fake_nvml.c")
LOOK = """
import dataclasses, json, sys
from daemon.telemetry_gpu import NvmlScope, open_gpu
scope = open_gpu(sys.argv[1], lambda: json.loads(sys.argv[2]))
if isinstance(scope, NvmlScope):
    look = scope.look()
    scope.close()
else:
    look = scope
print(json.dumps(look and dataclasses.asdict(look)))
"""


def build(directory: Path, *options: str) -> Path:
    assert shutil.which("gcc"), "gcc is missing: apt-get install gcc libc6-dev"
    library = directory / "libnvidia-ml.so.1"
    command = ["gcc", "-Wall", "-Werror", "-shared", "-fPIC", *options, "-o", str(library), str(SOURCE)]
    subprocess.run(command, check=True)
    return directory


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("nvml"))


def look(library: Path, says: str, *, uuid: str = "GPU-aaaa", ours: tuple[int, ...] = ()) -> dict[str, Any]:
    environment = {**os.environ, "LD_LIBRARY_PATH": str(library), "FAKE_NVML": says}
    command = [sys.executable, "-c", LOOK, uuid, json.dumps(ours)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=REPOSITORY)
    assert done.returncode == 0, done.stderr
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen


def test_a_quiet_gpu(library: Path) -> None:
    assert look(library, "capped") == {
        "strangers": [],
        "throttled": [],
        "clock_mhz": 1980.0,
        "used_bytes": 100 << 20,
        "uncorrected_errors": 0,
        "lost": "",
    }


def test_programs_of_others_are_seen_by_name_and_ours_are_not(library: Path) -> None:
    strangers = look(library, "busy", ours=(4001,))["strangers"]
    assert strangers == ["\\x1b[2Jpython, process 4002"]


@pytest.mark.parametrize(
    ("says", "name", "value"),
    [
        ("hot", "throttled", ["hardware, too hot"]),
        ("full", "used_bytes", 5 << 30),
        ("slow", "clock_mhz", 600.0),
        ("ecc", "uncorrected_errors", 3),
        ("noclock noecc noevents", "clock_mhz", None),
        ("noclock noecc noevents", "lost", ""),
        ("lost", "lost", "GPU is lost"),
        ("xid79", "lost", "the driver reported Xid 79"),
        ("xid31", "lost", ""),
        ("noload", "lost", "Driver Not Loaded"),
    ],
)
def test_what_the_driver_says(library: Path, says: str, name: str, value: object) -> None:
    assert look(library, says)[name] == value


def test_a_gpu_that_is_not_there_is_lost(library: Path) -> None:
    assert look(library, "", uuid="GPU-bbbb")["lost"]


def test_a_driver_that_knows_the_former_name_only(tmp_path: Path) -> None:
    assert look(build(tmp_path, "-DOLD_DRIVER"), "hot")["throttled"] == ["hardware, too hot"]


def test_without_a_library_there_is_nothing_to_look_at(tmp_path: Path) -> None:
    if Path("/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1").exists():
        return  # this machine has a driver
    assert look(tmp_path, "") is None
