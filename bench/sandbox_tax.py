"""What the sandbox costs: wall time of a full trial minus that of a bare ``python train.py`` that evaluates itself.

    .venv/bin/python bench/sandbox_tax.py [--pairs 5] [--seconds 20]

Same budget, same pinned cores, in pairs. A full trial is containers, clock, seal, one audit pass, and score; the
audit's own share is printed. Run it alone.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

from common import a_lab, bare, machine, spread

from daemon.trial import Listener, TrialPlan, run_trial


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=20.0)
    arguments = parser.parse_args()
    print(machine())
    taxes, audits = [], []
    with a_lab() as lab:
        train_py = lab.directory / "train.py"
        for pair in range(arguments.pairs):
            began = time.monotonic()
            bare(lab, train_py, lab.settings.limits().cpus, arguments.seconds)
            bare_seconds = time.monotonic() - began
            plan = TrialPlan(train_py=train_py.read_bytes(), run_id=f"tax-{pair}", seed=1337, free_startup_seconds=None)
            spec = lab.spec(plan)
            spec = replace(spec, times=replace(spec.times, train_seconds=arguments.seconds))
            result = run_trial(lab.wall.sandbox, spec, Listener())
            if result.score is None:
                raise SystemExit(f"the trial was not scored: {result.reason}\n{result.log_tail}")
            taxes.append(result.total_seconds - bare_seconds)
            audits.append(float(result.score.audit["audit_seconds"]))
            print(
                f"pair {pair}: bare {bare_seconds:.2f} s, trial {result.total_seconds:.2f} s (start-up "
                f"{result.startup_seconds:.2f}, trained {result.train_wall_seconds:.2f}, scored "
                f"{result.score_seconds:.2f}, of which audit {audits[-1]:.2f}), tax {taxes[-1]:.2f} s"
            )
    print(f"sandbox tax: {spread(taxes, ' s')}; of which one audit pass: {spread(audits, ' s')}")


if __name__ == "__main__":
    main()
