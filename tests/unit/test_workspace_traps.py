"""Programs that git would start for a hostile repository: sprung by plain git, never by the workspace."""

from __future__ import annotations

from pathlib import Path
from subprocess import CalledProcessError

import pytest
from labs import FILES, HOOKS, TRAPS, external_diff, git, make_lab, set_traps

from daemon.model import Patch
from daemon.workspace import Workspace

AT = "2026-01-01T00:00:00Z"
ALL = {*TRAPS, *(f"hook:{hook}" for hook in HOOKS)}


def sprung_by(sprung: Path) -> set[str]:
    return set(sprung.read_text().split()) if sprung.exists() else set()


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    return make_lab(tmp_path / "lab")


def test_the_traps_work(lab: Path) -> None:
    sprung = set_traps(lab)
    (lab / "train.py").write_bytes(b"LR = 3\n")
    git(lab, "add", "train.py")
    git(lab, "commit", "--quiet", "--message=by hand")
    git(lab, "log", "-p")
    git(lab, "checkout", "--quiet", "HEAD~", "--", "train.py")
    git(lab, "checkout", "--quiet", "-b", "other")
    with pytest.raises(CalledProcessError):
        git(lab, "commit", "--quiet", "--allow-empty", "--gpg-sign", "--message=signed")
    assert sprung_by(sprung) == ALL


def test_no_trap_is_sprung_by_the_workspace(lab: Path) -> None:
    git(lab, "config", "commit.gpgSign", "true")
    git(lab, "config", "log.showSignature", "true")
    sprung = set_traps(lab)
    space = Workspace(lab, "night")
    base = space.start_branch()
    patch = Patch(train_py=b"LR = 2\n", base_commit=base)
    commit = space.record(1, patch, "an idea", AT)
    space.advance(commit, base)
    (lab / "prepare.py").write_bytes(b"changed\n")
    assert space.dirty() == ["prepare.py"]
    assert "+LR = 2" in space.diff(base, commit)
    assert space.read(commit) == b"LR = 2\n"
    assert len(space.log(9)) == 2
    assert space.recorded() == {1: commit}
    assert space.ledger_heads() == {}
    assert sprung_by(sprung) == set()


def test_no_trap_is_sprung_by_making_a_lab_of_a_repository(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    (tmp_path / "mine").write_text("mine\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message=mine")
    sprung = set_traps(tmp_path)
    Workspace.init(tmp_path, FILES, "A new lab")
    assert sprung_by(sprung) == set()


def test_an_external_diff_is_not_asked(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sprung = set_traps(lab)
    trap = str(external_diff(lab, sprung))
    git(lab, "config", "diff.external", trap)
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", trap)
    (lab / "prepare.py").write_bytes(b"changed\n")
    git(lab, "diff")
    assert "external" in sprung_by(sprung)
    sprung.unlink()
    space = Workspace(lab, "night")
    base = space.start_branch()
    commit = space.record(1, Patch(train_py=b"LR = 2\n", base_commit=base), "an idea", AT)
    assert "+LR = 2" in space.diff(base, commit)
    assert sprung_by(sprung) == set()
