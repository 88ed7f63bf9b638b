"""A data directory is believed only as far as its manifest and sizes go."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from daemon.dataset import Dataset
from daemon.model import OurFault, UserError


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "val").mkdir()
    (tmp_path / "val" / "rows.bin").write_bytes(b"1234")
    facts = {"documents": 1, "tokens": 2, "bytes": 3}
    manifest = {
        "version": 1, "profile": "cpu", "source": "test", "licence": "none", "vocab_size": 2048, "max_seq_len": 256,
        "splits": {"train": facts, "val": facts}, "files": {"val/rows.bin": {"sha256": "0" * 64, "size_bytes": 4}},
    }  # fmt: skip
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    return tmp_path


def test_a_whole_one_opens_and_its_hash_follows_the_manifest(data: Path) -> None:
    first = Dataset.open(data, "cpu")
    (data / "manifest.json").write_text((data / "manifest.json").read_text() + "\n")
    assert Dataset.open(data, "cpu").manifest_sha256 != first.manifest_sha256


def test_a_file_of_another_size_is_ours_to_mend(data: Path) -> None:
    (data / "val" / "rows.bin").write_bytes(b"123")
    with pytest.raises(OurFault, match="3 bytes, not 4"):
        Dataset.open(data, "cpu")
    (data / "val" / "rows.bin").unlink()
    with pytest.raises(OurFault, match="cannot be read"):
        Dataset.open(data, "cpu")


@pytest.mark.parametrize("text", ["", "{}", "[]", "nonsense"])
def test_what_is_no_manifest_is_said(data: Path, text: str) -> None:
    (data / "manifest.json").write_text(text)
    with pytest.raises(UserError, match="autoresearch prepare"):
        Dataset.open(data, "cpu")


def test_another_profile_is_said(data: Path) -> None:
    with pytest.raises(UserError, match="prepared for profile cpu"):
        Dataset.open(data, "gpu")


def manifest_of(data: Path) -> dict[str, dict[str, dict[str, object]]]:
    return json.loads((data / "manifest.json").read_text())  # type: ignore[no-any-return]


def whole(data: Path) -> None:
    """Write the right hash into the manifest."""
    manifest = manifest_of(data)
    manifest["files"]["val/rows.bin"]["sha256"] = hashlib.sha256(b"1234").hexdigest()
    (data / "manifest.json").write_text(json.dumps(manifest))


def test_a_file_that_changed_within_its_size_is_found_and_one_put_back_is_fine(data: Path, tmp_path: Path) -> None:
    whole(data)
    dataset = Dataset.open(data, "cpu", tmp_path / "seen.json")
    dataset.check()
    (data / "val" / "rows.bin").write_bytes(b"1235")
    with pytest.raises(OurFault, match="has changed since it was prepared"):
        dataset.check()
    (data / "val" / "rows.bin").write_bytes(b"1234")
    dataset.check()


def test_what_was_hashed_once_is_not_hashed_again_by_the_next_start(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole(data)
    Dataset.open(data, "cpu", tmp_path / "seen.json").check()
    hashed: list[Path] = []
    monkeypatch.setattr("daemon.dataset._sha256", lambda path: hashed.append(path) or "")
    (data / "val" / "again.bin").hardlink_to(data / "val" / "rows.bin")  # as a release does: nothing was written
    Dataset.open(data, "cpu", tmp_path / "seen.json").check()
    assert hashed == []
    (tmp_path / "seen.json").write_text('{"manifest": 1}')
    with pytest.raises(OurFault):
        Dataset.open(data, "cpu", tmp_path / "seen.json").check()
    assert len(hashed) == 1


def test_data_that_no_container_can_read_are_named(data: Path) -> None:
    whole(data)
    dataset = Dataset.open(data, "cpu")
    (data / "val").chmod(0o755)
    (data / "val" / "rows.bin").chmod(0o644)
    dataset.check_readable()
    for path, mode in ((data / "val" / "rows.bin", 0o640), (data / "val", 0o750)):
        before = path.stat().st_mode
        path.chmod(mode)
        with pytest.raises(OurFault, match=f"no container can read {path}; `chmod"):
            dataset.check_readable()
        path.chmod(before)
