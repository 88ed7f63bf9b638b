"""Keep, discard or replicate: pure functions, no I/O.

What the loop does with them, in order:

1. The baseline runs k times. `estimate` pools every group of runs of one program on different seeds (replicates, never
   first runs) into a `Noise`; `ignores_seed` tells a program that does not listen.
2. A candidate's first run: `decide` with `Control.level(history)`, fixed for the whole test, and `affordable_pairs`.
3. While the answer is `Replicate`: so many more `Pair`s, the n-th on the n-th seed; the champion's run on it is taken
   from its replicates where it has one. The noise is estimated anew, the running pairs included.
4. A test that had a pair is a `PastTest` of the history. `expected_false_keeps` is what to show of it.
5. A new champion runs until it has `Replicated.settle_runs` replicates. `champion_estimate` is its score, with `spread`
   of the first pairs' gains of all tests; it is what later first runs are compared with.
6. `is_demoted` whenever a champion was run again; `too_good` before a keep is believed.
"""

from daemon.decide.answers import Answer, Discard, Keep, Replicate
from daemon.decide.budget import affordable_pairs
from daemon.decide.estimates import Estimate, Spread, champion_estimate, is_demoted, spread, too_good
from daemon.decide.many import Control, PastTest
from daemon.decide.noise import Noise, estimate, ignores_seed
from daemon.decide.outcomes import MATERIAL_BPB, audited_bpb, decide, outcome_of, to_beat
from daemon.decide.rules import MIN_SAVED_NODES, Candidate, Greedy, Pair, Replicated, Rule, Simpler, Standing

__all__ = [
    "MATERIAL_BPB",
    "MIN_SAVED_NODES",
    "Answer",
    "Candidate",
    "Control",
    "Discard",
    "Estimate",
    "Greedy",
    "Keep",
    "Noise",
    "Pair",
    "PastTest",
    "Replicate",
    "Replicated",
    "Rule",
    "Simpler",
    "Spread",
    "Standing",
    "affordable_pairs",
    "audited_bpb",
    "champion_estimate",
    "decide",
    "estimate",
    "ignores_seed",
    "is_demoted",
    "outcome_of",
    "spread",
    "to_beat",
    "too_good",
]
