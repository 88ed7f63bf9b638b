"""What the policy check of one patch costs inside a running daemon: a warm child, pipes and all.

    .venv/bin/python bench/policy_check.py [--rounds 5] [--policy policies/default.yaml]

The patches are train.py and the honest variants, each against train.py. Every round checks each patch once and parses
the same bytes with ``ast.parse`` right after it, so that the ratio of the two is of one moment. Run it alone.
"""

from __future__ import annotations

import argparse
import ast
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

from common import REPOSITORY, machine

from daemon.checker import Checker
from policies.interface import Submission

TRAIN_PY = (REPOSITORY / "train.py").read_bytes()


def patches() -> dict[str, bytes]:
    """train.py with a line of its own, and the honest variants."""
    sys.path.insert(0, str(REPOSITORY / "tests" / "honest"))
    import honest_corpus

    variants = {variant.name: variant.program(TRAIN_PY.decode()) for variant in honest_corpus.load()}
    return {"train.py": TRAIN_PY + b"BENCH = 1\n", **variants}


def milliseconds(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return 1000 * (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--policy", type=Path, default=REPOSITORY / "policies" / "default.yaml")
    arguments = parser.parse_args()
    checks: list[float] = []
    parses: list[float] = []
    worst, slowest, refused = 0.0, "", 0
    with Checker(arguments.policy.read_text()) as checker:
        checker.check(Submission(patch=TRAIN_PY, base=TRAIN_PY))  # the base is read once in a night
        for number in range(arguments.rounds):
            for name, content in patches().items():
                patch = content + b"# round %d\n" % number  # so that nothing is remembered from the last round
                submission = Submission(patch=patch, base=TRAIN_PY)
                checks.append(milliseconds(lambda: checker.check(submission)))  # noqa: B023 - called at once
                parses.append(milliseconds(lambda: ast.parse(patch)))  # noqa: B023
                if checks[-1] > worst:
                    worst, slowest = checks[-1], name
                refused += not checker.check(submission).allowed
    middle, parse = statistics.median(checks), statistics.median(parses)
    print(machine())
    print(f"{len(patches())} patches, {arguments.rounds} rounds, {arguments.policy.name}, {refused} refused")
    print(f"check: median {middle:.1f} ms, worst {worst:.1f} ms ({slowest})")
    ratios = [check / parsed for check, parsed in zip(checks, parses, strict=True)]
    print(f"ast.parse of the same: median {parse:.1f} ms; a check is {statistics.median(ratios):.1f} times as long")


if __name__ == "__main__":
    main()
