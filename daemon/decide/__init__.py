"""Keep, discard or replicate: pure functions, no I/O.

`Noise`, `estimate`                     σ of one run, pooled over groups of runs; `ignores_seed`
`Standing`, `Candidate`, `Pair`         what a rule judges
`Greedy`, `Replicated`, `Simpler`       the rules; `decide` asks one and never keeps what has no finite score
`Control`, `PastTest`                     many looks: the level of the next test, the false keeps to expect
`champion_estimate`, `spread`           a champion's score without the luck that made it champion
`is_demoted`, `too_good`                what later runs contradict; what a person should look at
`affordable_pairs`                      the budget for replicates
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
