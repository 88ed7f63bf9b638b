"""A champion comes onto main as one commit, and nothing of a person's is lost or started by it."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from labs import git, set_traps
from nights import Night, a_lab, a_night, arena_of
from values import ARENA

from daemon.lab import Lab
from daemon.model import Decision, UserError
from daemon.promote import promote, sentence
from daemon.workspace import WorkspaceError
from daemon.workspace.git import Git


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return a_night(tmp_path_factory.mktemp("night") / "lab").directory


@pytest.fixture
def lab(first: Path, tmp_path: Path) -> Lab:
    return Lab(shutil.copytree(first, tmp_path / "lab"))


def on(lab: Lab, revision: str) -> str:
    return git(lab.directory, "show", f"{revision}:train.py")


def state(lab: Lab) -> tuple[str, str, bytes]:
    return git(lab.directory, "for-each-ref"), git(lab.directory, "ls-files", "-s"), lab.read("train.py")


def test_the_champion_comes_onto_main_and_into_the_work_tree(lab: Lab) -> None:
    before = git(lab.directory, "rev-parse", "main").strip()
    done = promote(lab)
    assert (done.number, list(done.lineage), done.branch) == (6, [0, 1, 6], "main")
    assert done.gain_bpb == pytest.approx(0.2)
    assert git(lab.directory, "rev-parse", "main", "main^").split() == [done.commit, before]
    assert on(lab, "main") == on(lab, "refs/experiments/6") == lab.read("train.py").decode()
    assert git(lab.directory, "status", "--porcelain") == ""
    assert git(lab.directory, "diff", "--name-only", "main^", "main") == "train.py\n"
    assert "`git show main`" in sentence(done)


def test_its_message_says_where_it_comes_from(lab: Lab) -> None:
    promote(lab)
    said = git(lab.directory, "log", "-1", "--format=%B", "main")
    assert said.startswith("Promote experiment 6: idea 6\n\nIt is 0.200000 bits per byte better than its baseline.")
    for part in (
        "#0  2.000000",
        "#1  1.900000",
        "#6  1.800000",
        f"Arena {arena_of(lab).fingerprint}:",
        "Ledger-Head: ",
    ):
        assert part in said
    assert "#2" not in said
    trailers = git(lab.directory, "log", "-1", "--format=%(trailers:only)", "main")
    assert trailers.startswith("Experiment: 6\n")


def test_a_message_of_ones_own(lab: Lab) -> None:
    promote(lab, title="A better night\n\nSee the\x1b[31m plot.")
    said = git(lab.directory, "log", "-1", "--format=%B", "main")
    assert said.startswith("A better night\n\nSee the\\x1b[31m plot.\n\nIt is")
    assert "Experiment: 6" in said


def test_one_after_the_other(lab: Lab) -> None:
    assert promote(lab, 1).number == 1
    assert promote(lab).number == 6
    assert git(lab.directory, "rev-list", "--count", "main").strip() == "3"
    before = state(lab)
    with pytest.raises(UserError, match=r"main has the train\.py of experiment 6 already"):
        promote(lab)
    with pytest.raises(UserError, match=r"main has changed train\.py"):  # 1 does not have what 6 has
        promote(lab, 1)
    assert state(lab) == before


@pytest.mark.parametrize(("number", "ended"), [(2, "discard"), (3, "refused"), (5, "interrupted")])
def test_only_what_was_kept(lab: Lab, number: int, ended: str) -> None:
    with pytest.raises(UserError, match=f"experiment {number} ended as {ended}"):
        promote(lab, number)


def test_no_champion_and_no_such_experiment(lab: Lab, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no champion"):
        promote(a_lab(tmp_path / "fresh"))
    with pytest.raises(UserError, match="no experiment 99"):
        promote(lab, 99)


@pytest.mark.parametrize(
    "branch", ["nowhere", "autoresearch/night", "-d", "main..main", "main^{tree}", "", "../heads/main"]
)
def test_a_branch_that_cannot_be(lab: Lab, branch: str) -> None:
    before = state(lab)
    with pytest.raises(UserError, match="branch"):
        promote(lab, branch=branch)
    assert state(lab) == before


def test_a_train_py_that_main_has_changed_since(lab: Lab) -> None:
    (lab.directory / "train.py").write_text(on(lab, "main") + "# mine\n")
    git(lab.directory, "commit", "-qam", "mine")
    before = state(lab)
    with pytest.raises(UserError, match=r"main has changed train\.py since.*git apply --3way.*new tag") as refused:
        promote(lab)
    assert state(lab) == before
    assert git(lab.directory, "rev-parse", "main")[:10] in str(refused.value)


def test_other_changes_of_main_stay(lab: Lab) -> None:
    (lab.directory / "program.md").write_text("be bolder\n")
    git(lab.directory, "commit", "-qam", "bolder")
    (lab.directory / "thesis.tex").write_text("x")
    git(lab.directory, "add", "thesis.tex")
    (lab.directory / "program.md").write_text("be boldest\n")
    promote(lab)
    assert git(lab.directory, "show", "main:program.md") == "be bolder\n"
    assert git(lab.directory, "status", "--porcelain") == " M program.md\nA  thesis.tex\n"


@pytest.mark.parametrize("how", ["disk", "index", "gone", "link"])
def test_uncommitted_changes_are_not_overwritten(lab: Lab, how: str) -> None:
    file = lab.directory / "train.py"
    if how == "link":
        (lab.directory / "elsewhere.py").write_bytes(file.read_bytes())
        file.unlink()
        file.symlink_to("elsewhere.py")
    elif how == "gone":
        file.unlink()
    else:
        content = file.read_text()
        file.write_text(content + "# mine\n")
        if how == "index":
            git(lab.directory, "add", "train.py")
            file.write_text(content)
    before = git(lab.directory, "for-each-ref"), git(lab.directory, "status", "--porcelain")
    with pytest.raises(UserError, match="uncommitted changes"):
        promote(lab)
    assert (git(lab.directory, "for-each-ref"), git(lab.directory, "status", "--porcelain")) == before


def test_a_main_that_is_not_checked_out_moves_alone(lab: Lab) -> None:
    git(lab.directory, "switch", "-qc", "mine")
    (lab.directory / "train.py").write_text("# dirty, and on another branch\n")
    promote(lab)
    assert on(lab, "main") == on(lab, "refs/experiments/6")
    assert lab.read("train.py") == b"# dirty, and on another branch\n"
    assert git(lab.directory, "status", "--porcelain") == " M train.py\n"


def test_a_main_that_another_folder_has_checked_out(lab: Lab, tmp_path: Path) -> None:
    git(lab.directory, "switch", "-qc", "mine")
    git(lab.directory, "worktree", "add", "-q", str(tmp_path / "other"), "main")
    with pytest.raises(UserError, match=f"{tmp_path / 'other'} has main checked out"):
        promote(lab)


def test_no_program_of_the_repository_runs(lab: Lab) -> None:
    sprung = set_traps(lab.directory)
    os.utime(lab.directory / "train.py")
    promote(lab)
    assert not sprung.exists()


def test_a_branch_that_moves_meanwhile(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    before = state(lab)

    def fails(*_: object, **__: object) -> None:
        raise WorkspaceError("git update-ref failed: it is elsewhere by now")

    monkeypatch.setattr(Git, "update_ref", fails)
    with pytest.raises(WorkspaceError):
        promote(lab)
    assert state(lab) == before


def test_killed_between_the_file_and_the_branch_it_is_taken_up(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        pass

    def killed(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(Git, "update_ref", killed)
        with pytest.raises(Killed):
            promote(lab)
    assert git(lab.directory, "status", "--porcelain") == "M  train.py\n"
    promote(lab)
    assert git(lab.directory, "status", "--porcelain") == ""


def test_through_a_new_baseline_on_the_champion(lab: Lab) -> None:
    with lab.ledger() as ledger:
        night = Night(lab, ledger, replace(ARENA, train_seconds=40.0))
        night.add(Decision.KEEP, 1.7)
        night.add(Decision.KEEP, 1.6)
    done = promote(lab)
    assert list(done.lineage) == [0, 1, 6, 7, 8]
    assert done.gain_bpb == pytest.approx(0.1)  # never across arenas
    assert on(lab, "main") == on(lab, "refs/experiments/8")


def test_the_mode_of_the_file_stays(lab: Lab) -> None:
    (lab.directory / "train.py").chmod(0o755)
    git(lab.directory, "commit", "-qam", "a program")
    promote(lab)
    assert git(lab.directory, "ls-tree", "main", "train.py").startswith("100755")
    assert os.access(lab.directory / "train.py", os.X_OK)
    assert git(lab.directory, "status", "--porcelain") == ""


def test_a_hostile_hypothesis_stays_text(lab: Lab) -> None:
    with lab.ledger() as ledger:
        night = Night(lab, ledger, arena_of(lab), champion=6)
        night.add(Decision.KEEP, 1.7, hypothesis="x\n\nLedger-Head: forged\x1b[2J")
    promote(lab)
    said = git(lab.directory, "log", "-1", "--format=%B", "main")
    assert "\x1b" not in said
    assert git(lab.directory, "log", "-1", "--format=%(trailers:key=Ledger-Head,valueonly)", "main").split() == [
        said.rsplit("Ledger-Head: ", 1)[1].strip()
    ]
