"""results.tsv: five columns, one line each, whatever a hypothesis holds."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from values import summary

from daemon import results
from daemon.files import write_atomically
from daemon.model import Decision, Summary


def lines(tmp_path: Path, *summaries: Summary) -> list[str]:
    results.write(tmp_path / "results.tsv", summaries)
    return (tmp_path / "results.tsv").read_text().split("\n")


def test_the_five_columns(tmp_path: Path) -> None:
    written = lines(
        tmp_path,
        summary(0, Decision.KEEP, 0.9979, hypothesis="baseline", commit="a1b2c3d4e5", peak_vram_mb=45056.0),
        summary(1, Decision.DISCARD, 1.0, hypothesis="switch to GeLU", commit="b2c3d4e5f6", peak_vram_mb=45157.0),
        summary(2, Decision.CRASH, None, hypothesis="double the width", commit=None),
        summary(3, None, None, hypothesis="still running"),
    )
    assert written == [
        "commit\tval_bpb\tmemory_gb\tstatus\tdescription",
        "a1b2c3d\t0.997900\t44.0\tkeep\tbaseline",
        "b2c3d4e\t1.000000\t44.1\tdiscard\tswitch to GeLU",
        "0000000\t0.000000\t0.0\tcrash\tdouble the width",
        "",
    ]


@pytest.mark.parametrize("decision", [Decision.CRASH, Decision.REFUSED, Decision.TIMEOUT, Decision.INVALID])
def test_all_that_was_not_scored_is_a_crash_to_scripts(tmp_path: Path, decision: Decision) -> None:
    cells = lines(tmp_path, summary(1, decision, 1.5))[1].split("\t")
    assert cells[1:4] == ["0.000000", "0.0", "crash"]


@pytest.mark.parametrize("sign", "=+-@＝")
def test_no_cell_is_a_formula(tmp_path: Path, sign: str) -> None:
    cells = lines(tmp_path, summary(1, Decision.KEEP, 1.5, hypothesis=f"\t{sign}cmd|' /C calc'!A0"))[1].split("\t")
    assert cells[4] == f"'{sign}cmd|' /C calc'!A0"


@pytest.mark.parametrize("claim", [-1.0, 1e300, float("inf"), float("nan"), None])
def test_a_claim_of_nonsense_is_no_memory(tmp_path: Path, claim: float | None) -> None:
    assert "\t0.0\tkeep\t" in lines(tmp_path, summary(1, Decision.KEEP, 1.5, peak_vram_mb=claim))[1]


@given(st.text(st.characters(exclude_categories=()), max_size=400))
def test_any_hypothesis_is_one_cell(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    written = lines(tmp_path_factory.mktemp("lab"), summary(1, Decision.KEEP, 1.5, hypothesis=text))
    assert len(written) == 3
    assert len(written[1].split("\t")) == 5


def test_the_old_file_stays_when_writing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "results.tsv"
    path.write_text("old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, b"new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["results.tsv"]


def kept_up(tmp_path: Path, *steps: list[Summary]) -> list[bool]:
    """Bring one file up to each step in turn, and see that it is right; says of each whether it was appended to."""
    path, whole, appended = tmp_path / "results.tsv", tmp_path / "whole.tsv", []
    file = results.ResultsFile(path)
    for step in steps:
        before = path.stat().st_ino if path.exists() else None
        file.update(step)
        results.write(whole, step)
        assert path.read_bytes() == whole.read_bytes()
        appended.append(path.stat().st_ino == before)
    return appended


def test_a_new_line_is_appended_and_a_changed_one_is_not(tmp_path: Path) -> None:
    first, second, third = (summary(number, Decision.DISCARD, 1.0) for number in range(3))
    running, other = summary(1, None, None), summary(0, Decision.KEEP, 1.0)
    steps = [[first], [first, running], [first, second], [first, second, third], [first, second, third]]
    assert kept_up(tmp_path, *steps) == [False, True, True, True, True]
    assert kept_up(tmp_path, [first, second], [other, second], [other, second, third]) == [False, False, True]
    assert kept_up(tmp_path, [first, third], [first, second, third], [first]) == [False, False, False]


def test_a_file_that_somebody_touched_is_written_anew(tmp_path: Path) -> None:
    rows = [summary(number, Decision.DISCARD, 1.0) for number in range(3)]
    path = tmp_path / "results.tsv"
    file = results.ResultsFile(path)
    file.update(rows[:1])
    path.write_text("something else\n")
    file.update(rows[:2])
    assert len(path.read_text().splitlines()) == 3
    path.unlink()
    file.update(rows)
    assert len(path.read_text().splitlines()) == 4
