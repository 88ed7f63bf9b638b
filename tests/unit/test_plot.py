"""The picture: its staircase, its scale, and that no hypothesis can spoil it."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path

import pytest
from values import summary

from daemon import plot
from daemon.model import Decision, Summary

NAN = float("nan")


def night() -> list[Summary]:
    return [
        summary(0, Decision.KEEP, 1.6205, hypothesis="baseline"),
        summary(1, Decision.DISCARD, 1.64),
        summary(2, Decision.KEEP, 1.58, hypothesis="lr up"),
        summary(3, Decision.CRASH, None),
        summary(4, Decision.TIMEOUT, None),
        summary(5, Decision.REFUSED, None),
        summary(6, Decision.INVALID, None),
        summary(7, Decision.DISCARD, 9.0),
        summary(8, None, None),
        summary(9, Decision.KEEP, 1.5123, hypothesis="wider"),
    ]


def size_of(png: Path) -> tuple[int, int]:
    content = png.read_bytes()
    assert content.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", content[16:24])
    return width, height


def test_the_staircase_is_of_what_was_kept_and_better() -> None:
    found = plot.steps([*night(), summary(10, Decision.KEEP, 1.55), summary(11, Decision.DISCARD, 1.4)])
    assert found.numbers == [0, 2, 9]
    assert found.scores == [1.6205, 1.58, 1.5123]
    assert found.gains[1:] == pytest.approx([0.0405, 0.0677])


def test_the_headline() -> None:
    decided = [s for s in night() if s.decision]
    assert plot.headline(decided) == "9 experiments, 3 kept, best 1.6205 → 1.5123 bits per byte (lower is better)"
    assert plot.headline(decided[:1]) == "1 experiment, 1 kept, best 1.6205 bits per byte (lower is better)"
    assert plot.headline([]) == "0 experiments, 0 kept, nothing scored yet"


def test_the_scale_shows_every_step_and_not_the_worst() -> None:
    bottom, top = plot.view(night())
    assert bottom < 1.5123
    assert 1.64 < top < 2.0
    assert plot.view([summary(0, Decision.KEEP, 1.6)])[0] < 1.6 < plot.view([summary(0, Decision.KEEP, 1.6)])[1]


@pytest.mark.parametrize(
    "summaries",
    [
        night(),
        [],
        night()[:1],
        night()[3:7],
        [summary(0, Decision.KEEP, NAN), summary(1, Decision.KEEP, float("inf")), summary(2, Decision.DISCARD, NAN)],
        [summary(0, Decision.KEEP, 0.0), summary(1, Decision.KEEP, 0.0)],
        [summary(n, Decision.KEEP, 2 - n / 1000) for n in range(1000)],
    ],
)
def test_any_ledger_is_drawn(tmp_path: Path, summaries: list[Summary]) -> None:
    plot.draw(summaries, tmp_path / "progress.png", "autoresearch/night")
    assert size_of(tmp_path / "progress.png") == (1200, 700)
    assert [path.name for path in tmp_path.iterdir()] == ["progress.png"]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "text", [r"$\frac{1}{$", "$$", r"\input{/etc/passwd}", "学習率\x00\x1b[2J\u202e", "x" * 9999, "_{^", "%"]
)
def test_no_hypothesis_spoils_it(tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import matplotlib

    monkeypatch.setitem(matplotlib.rcParams, "text.usetex", True)
    hostile = [summary(n, Decision.KEEP, 1.6 - n / 10, hypothesis=text) for n in range(3)]
    plot.draw(hostile, tmp_path / "progress.png", text)
    assert size_of(tmp_path / "progress.png") == (1200, 700)


def test_importing_the_module_imports_no_matplotlib() -> None:
    code = "import daemon.plot, sys; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2]).returncode == 0
