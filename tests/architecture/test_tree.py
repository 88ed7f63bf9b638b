"""What the tree promises, beyond the import rules that import-linter checks."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from specs import REPOSITORY

from daemon.selftest import report
from sandbox.versions import ADVISORIES

HOST = [p for folder in ("daemon", "policies", "sandbox") for p in (REPOSITORY / folder).rglob("*.py")]
GUEST = sorted((REPOSITORY / "sandbox" / "guest").glob("*.py"))
TRUSTED = [p for p in HOST if p not in GUEST]
IN_THE_IMAGE_BUILD = {"strip_sources.py"}  # writes .pyc files while the image is built; runs in no process of ours
BROAD = ("Exception", "BaseException")


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("path", GUEST, ids=lambda p: p.name)
def test_the_guest_needs_only_what_the_image_has(path: Path) -> None:
    others = imported(path) - set(sys.stdlib_module_names) - {"torch", "numpy", "safetensors"}
    assert others == set()


@pytest.mark.parametrize("path", [*TRUSTED, *GUEST], ids=lambda p: str(p.relative_to(REPOSITORY)))
def test_nobody_unpickles_or_evaluates(path: Path) -> None:
    modules = {"pickle", "shelve", "dill", "cloudpickle"} | (set() if path.name in IN_THE_IMAGE_BUILD else {"marshal"})
    assert not imported(path) & modules
    calls = {
        node.func.id
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    forbidden = {"eval", "exec", "__import__"} | ({"compile"} if path.name not in IN_THE_IMAGE_BUILD else set())
    assert not calls & forbidden


def test_the_command_starts_without_torch_and_without_the_payload() -> None:
    program = "import sys, daemon.cli, daemon.lab, daemon.research; print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(ast.literal_eval(done.stdout))
    assert not loaded & {"torch", "train", "prepare", "sandbox.guest", "safetensors", "prometheus_client"}


def test_top_level_names_are_claimed_by_us_alone_and_never_uploaded() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    assert project["project"]["name"] == "autoresearchd"
    assert "Private :: Do Not Upload" in project["project"]["classifiers"]
    assert project["tool"]["uv"]["constraint-dependencies"] == ["python-daemon<0"]
    assert project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == ["daemon", "sandbox", "policies"]


@pytest.mark.parametrize("path", TRUSTED, ids=lambda p: str(p.relative_to(REPOSITORY)))
def test_broad_excepts_carry_their_reason(path: Path) -> None:
    lines = path.read_text().splitlines()
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.ExceptHandler):
            continue
        if node.type is None or (isinstance(node.type, ast.Name) and node.type.id in BROAD):
            line = lines[node.lineno - 1]
            assert "#" in line, f"{path.name}:{node.lineno} catches everything and does not say why"


def test_no_function_runs_off_the_screen() -> None:
    long = [
        f"{path.relative_to(REPOSITORY)}:{node.lineno} {node.name}"
        for path in HOST
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and (node.end_lineno or 0) - node.lineno > 50
    ]
    assert long == []


def test_the_boundary_page_names_every_advisory_and_holds_the_table_of_attacks() -> None:
    page = (REPOSITORY / "docs" / "boundary.md").read_text()
    assert [advisory.cve for advisory in ADVISORIES if advisory.cve not in page] == []
    begin, end = page.index(report.BEGIN), page.index(report.END)
    assert page[begin:end].count("\n|") > 90
