"""``autoresearch selftest attack``: the corpus of attacks, run on this machine against this machine's own wall."""

from daemon.selftest.report import AttackResult, facts, inserted, render, tally
from daemon.selftest.run import Range, attack, range_of, run_one

__all__ = ["AttackResult", "Range", "attack", "facts", "inserted", "range_of", "render", "run_one", "tally"]
