"""How busy the slot is when the proposer is slow: with the next proposal made while one trains, and without.

    .venv/bin/python bench/lookahead.py [--experiments 5] [--thinking 10]

A real lab of the cpu profile (20 s budget) in real containers; the proposer is a command that thinks for a fixed time
and changes one number. Printed are the shares of wall time, from the first experiment's opening to the last one's
close, that a trial occupied and that was training. Run it alone.
"""

from __future__ import annotations

import argparse
import subprocess
from datetime import datetime
from pathlib import Path

from common import a_lab, machine
from rich.console import Console

from daemon.research import research
from daemon.steering import Steering

COMMAND = """
import pathlib, re, sys, time
time.sleep(float(sys.argv[1]))
path = pathlib.Path("train.py")
text, stamp = path.read_text(), time.time_ns() % 1000
path.write_text(re.sub(r"(?m)^(WARMDOWN_FRACTION = )[0-9.]+", rf"\\g<1>0.{500 + stamp // 3}", text))
print("another length of the warm-down")
"""


def measure(experiments: int, thinking: float, lookahead: int) -> tuple[float, float]:
    """The shares occupied and training; the baseline is not counted."""
    with a_lab() as lab:
        program = lab.directory.parent / "think.py"
        program.write_text(COMMAND)
        _configure(lab.directory / "lab.toml", program, thinking, lookahead)
        identity = ["-c", "user.name=bench", "-c", "user.email=bench@localhost"]
        subprocess.run(["git", "-C", str(lab.directory), *identity, "commit", "-qam", "a slow proposer"], check=True)
        research(lab.directory, experiments, Steering(), Console(quiet=True))
        with lab.ledger() as ledger:
            rows = [row for row in ledger.summaries() if row.champion is not None and row.closed_at]
    wall = (_time(rows[-1].closed_at or "") - _time(rows[0].opened_at)).total_seconds()
    return sum(row.total_seconds for row in rows) / wall, sum(row.train_wall_seconds for row in rows) / wall


def _configure(settings: Path, program: Path, thinking: float, lookahead: int) -> None:
    text = settings.read_text()
    text = text.replace('name = "optuna"', 'name = "command"').replace("lookahead = 0", f"lookahead = {lookahead}")
    command = f'command = ["python3", "{program}", "{thinking:g}"]'
    settings.write_text(text.replace("[proposer.options]", f"[proposer.options]\n{command}\n#"))


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiments", type=int, default=5)
    parser.add_argument("--thinking", type=float, default=10.0)
    arguments = parser.parse_args()
    print(machine())
    for lookahead in (0, 1):
        occupied, training = measure(arguments.experiments, arguments.thinking, lookahead)
        print(
            f"lookahead {lookahead}: a trial occupied the slot for {100 * occupied:.1f} % of the time, "
            f"of which {100 * training:.1f} points were training"
        )


if __name__ == "__main__":
    main()
