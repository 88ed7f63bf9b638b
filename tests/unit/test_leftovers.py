"""What a killed process left is cleared away, however young; what lives is not touched."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from labs import git

from daemon import lab as labs
from daemon import leftovers
from daemon.files import TEMPORARY, clear_temporary, write_atomically, writing_atomically
from daemon.lab import Lab


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    labs.init(tmp_path / "lab", "cpu", "night")
    lab = Lab(tmp_path / "lab")
    lab.make_runs_dir()
    lab.workspace.start_branch()
    yield lab


def temporary(folder: Path, name: str) -> Path:
    path = folder / f".{name}.abcd1234.tmp"
    path.write_text("half of it")
    return path


def test_runs_temporary_files_and_locks_on_our_refs_go(lab: Lab) -> None:
    (lab.runs_dir / "00007-0" / "train").mkdir(parents=True)
    (lab.state / "inbox").mkdir()
    ours = [temporary(lab.directory, "results.tsv"), temporary(lab.state, "selfcheck.json")]
    ours += [temporary(lab.state / "inbox", "00000000000000000001-abcdef01.json")]
    theirs = [temporary(lab.directory, "notes.txt")]
    refs = lab.directory / ".git" / "refs"
    (refs / "experiments").mkdir()
    locks = [refs / "experiments" / "7.lock", refs / "heads" / "autoresearch" / "night.lock"]
    foreign = refs / "heads" / "main.lock"
    for lock in (*locks, foreign):
        lock.touch()
    gone = leftovers.clear(lab)
    assert not any(path.exists() for path in (*ours, *locks, lab.runs_dir / "00007-0"))
    assert all(path.exists() for path in (*theirs, foreign))
    assert "run 00007-0" in gone and len(gone) == 6
    assert leftovers.clear(lab) == []


def test_a_lock_stays_while_a_git_is_at_work_in_the_lab(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftovers, "GIT_SECONDS", 0.2)
    lock = lab.directory / ".git" / "refs" / "heads" / "autoresearch" / "night.lock"
    lock.touch()
    at_work = subprocess.Popen(["git", "cat-file", "--batch"], cwd=lab.directory, stdin=subprocess.PIPE)
    try:
        assert leftovers.clear(lab) == [] and lock.exists()
    finally:
        at_work.kill()
        at_work.communicate()
    assert leftovers.clear(lab) == ["night.lock"]
    assert git(lab.directory, "update-ref", "refs/heads/autoresearch/night", "HEAD") == ""


def test_a_file_that_is_being_written_is_left_to_its_writer(tmp_path: Path) -> None:
    with writing_atomically(tmp_path / "results.tsv") as file:
        file.write(b"whole")
        (written,) = (path for path in tmp_path.iterdir() if TEMPORARY.fullmatch(path.name))
        assert not clear_temporary(written) and written.exists()
    assert (tmp_path / "results.tsv").read_bytes() == b"whole"
    assert clear_temporary(temporary(tmp_path, "results.tsv"))
    assert not clear_temporary(tmp_path / ".gone.abcd1234.tmp")
    write_atomically(tmp_path / "results.tsv", b"again")
    assert [path.name for path in tmp_path.iterdir()] == ["results.tsv"]
