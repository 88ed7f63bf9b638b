"""The release: nothing before it, everything after it, the index last, and the approved bytes unchanged."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from specs import a_spec

from sandbox import rundir
from sandbox.interface import MAX_TRAIN_PY_BYTES, SandboxUnavailable


@pytest.fixture
def root(tmp_path: Path) -> Path:
    train = tmp_path / "data" / "train"
    train.mkdir(parents=True)
    for name in ("train_00000.bin", "train_00000.idx", "index.json"):
        (train / name).write_bytes(name.encode())
    (tmp_path / "runs").mkdir()
    return tmp_path


def test_before_the_release_the_folder_is_empty(root: Path) -> None:
    run = rundir.create(a_spec(root))
    assert list(run.train.iterdir()) == []
    assert list(run.gate.iterdir()) == []
    assert sorted(p.name for p in run.lab.iterdir()) == ["prepare.py", "train.py"]


def test_the_release_links_everything_and_the_index_last(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    link = os.link

    def noting(source: str, target: str, **options: bool) -> None:
        order.append(Path(target).name)
        link(source, target, **options)

    monkeypatch.setattr(os, "link", noting)
    run = rundir.create(a_spec(root))
    run.release(root / "data", 17.5)
    assert order == ["train_00000.bin", "train_00000.idx", "index.json"]
    assert json.loads((run.train / "budget.json").read_text()) == {"train_seconds": 17.5}
    assert (run.train / "train_00000.bin").samefile(root / "data/train/train_00000.bin")


def test_a_symlink_among_the_tokens_is_not_released(root: Path) -> None:
    (root / "secret").write_text("validation")
    (root / "data/train/evil.bin").symlink_to(root / "secret")
    run = rundir.create(a_spec(root))
    run.release(root / "data", 1.0)
    assert not (run.train / "evil.bin").exists()


def test_data_that_is_gone_is_our_fault(root: Path) -> None:
    run = rundir.create(a_spec(root))
    (root / "data/train/index.json").unlink()
    with pytest.raises(SandboxUnavailable, match=r"index\.json"):
        run.release(root / "data", 1.0)


def test_removing_a_run_leaves_the_data(root: Path) -> None:
    run = rundir.create(a_spec(root))
    run.release(root / "data", 1.0)
    run.remove()
    assert not run.root.exists()
    assert (root / "data/train/train_00000.bin").read_bytes() == b"train_00000.bin"


def test_a_patch_over_the_cap_is_refused_here_too(root: Path) -> None:
    with pytest.raises(ValueError, match="65536"):
        rundir.create(a_spec(root, train_py=b"#" * (MAX_TRAIN_PY_BYTES + 1)))
    assert list((root / "runs").iterdir()) == []


def test_a_full_disk_is_one_sentence(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(rundir, "_write", full)
    with pytest.raises(SandboxUnavailable, match="is the disk full"):
        rundir.create(a_spec(root))
