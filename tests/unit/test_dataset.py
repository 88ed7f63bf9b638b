"""A data directory is believed only as far as its manifest and sizes go."""

from __future__ import annotations

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
