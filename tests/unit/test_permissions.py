"""A lab is written by its own user alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from daemon.files import private_folder
from daemon.permissions import complaints


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    directory = tmp_path / "lab"
    directory.mkdir(mode=0o755)
    for name in ("train.py", "lab.toml", "policy.yaml"):
        (directory / name).touch(mode=0o644)
    (directory / ".autoresearch").mkdir()
    return directory


def test_a_lab_of_ones_own_is_fine(lab: Path) -> None:
    assert list(complaints(lab)) == []


@pytest.mark.parametrize("name", [".", "train.py", "lab.toml", "policy.yaml", ".autoresearch"])
def test_what_others_may_write_is_named_with_its_cure(lab: Path, name: str) -> None:
    path = lab / name
    path.chmod(path.stat().st_mode | 0o002)
    (found,) = complaints(lab)
    assert f"chmod go-w {path}" in found


def test_a_group_of_others_may_not_write_either(lab: Path) -> None:
    os.chown(lab / "lab.toml", -1, 12345)
    (lab / "lab.toml").chmod(0o664)
    assert len(list(complaints(lab))) == 1


def test_somebody_elses_file_is_named(lab: Path) -> None:
    found = list(complaints(lab, user=os.geteuid() + 1))
    assert len(found) == 5
    assert "run it as the lab's owner" in found[0]


def test_a_link_is_judged_by_what_it_leads_to(lab: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.touch()
    target.chmod(0o666)
    (lab / "program.md").symlink_to(target)
    assert len(list(complaints(lab))) == 1


def test_a_private_folder_is_private_even_when_it_was_not(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir(mode=0o755)
    assert private_folder(folder).stat().st_mode & 0o777 == 0o700
    assert private_folder(tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700
