"""What an attack came to, from the outside alone: a status, a score, and what its own probes shouted. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

from daemon.model import TrialResult, TrialStatus
from daemon.selftest.corpus import Attack
from daemon.text import clean
from policies.interface import Verdict

EFFECT = "@@effect "
MAX_LOG = 100_000
LEAK, FAULT, REFUSED = "leak", "fault", "refused"
NO_EFFECT, REACHED, FORGED, WORSE = "no-effect", "effect", "forged", "worse"
SCORED = (NO_EFFECT, FORGED, WORSE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A verdict and what it rests on. ``forged`` is a score better than merit, ``effect`` a probe that got through,
    ``leak`` hostile text that reached a person or a program unclean, ``fault`` a service that gave up."""

    verdict: str
    detail: str = ""


def judged(result: TrialResult, attack: Attack, honest_bpb: float, vocab_size: int) -> Seen:
    """The verdict on one trial; what a probe got hold of weighs more than how the program ended."""
    effects = [line for line in clean(result.log_tail, MAX_LOG, lines=True).split("\n") if line.startswith(EFFECT)]
    if effects:
        return Seen(verdict=REACHED, detail=effects[0].removeprefix(EFFECT)[:200])
    if result.status is not TrialStatus.OK or result.score is None:
        return Seen(verdict=result.status.value, detail=clean(result.reason, 300))
    verdict = _weighed(result.score.val_bpb, attack, honest_bpb, _uniform(result, vocab_size))
    return Seen(verdict=verdict, detail=f"val_bpb {result.score.val_bpb:.6f}")


def _uniform(result: TrialResult, vocab_size: int) -> float:
    """The score of a model that knows nothing: the same chance for every token of the vocabulary."""
    score = result.score
    return score.tokens * math.log2(vocab_size) / score.bytes if score else math.inf


def _weighed(bpb: float, attack: Attack, honest_bpb: float, uniform_bpb: float) -> str:
    merit, slack = attack.about.merit, attack.about.tolerance_bpb
    if merit == "better":  # an honest change that really is: the scale must move, too
        return NO_EFFECT if bpb < honest_bpb - slack else WORSE
    due = uniform_bpb if merit == "uniform" else honest_bpb
    if bpb < due - slack:
        return FORGED
    return NO_EFFECT if merit == "own" or bpb <= due + slack else WORSE


def as_expected(seen: Seen, attack: Attack) -> bool:
    return seen.verdict == attack.about.expect and attack.about.reason in seen.detail


def succeeded(seen: Seen, attack: Attack) -> bool:
    """Whether this is a success that the attack names: verdicts between ``||``, each with words of its detail."""
    return any(_is(seen, *wanted.partition(": ")[::2]) for wanted in attack.about.success.split(" || "))


def _is(seen: Seen, wanted: str, words: str) -> bool:
    return seen.verdict in (SCORED if wanted == "accepted" else (wanted,)) and words in seen.detail


def policy_word(verdict: Verdict | None) -> str:
    """``allowed``, ``not asked``, or ``refused: `` and the rules that refused."""
    if verdict is None:
        return "not asked"
    if verdict.allowed:
        return "allowed"
    return "refused: " + " | ".join(dict.fromkeys(finding.rule for finding in verdict.findings))


def policies_as_expected(found: str, attack: Attack) -> bool:
    """One of the rules that should refuse did."""
    wanted, got = (set(word.removeprefix("refused: ").split(" | ")) for word in (attack.about.policies, found))
    return found.startswith("refused: ") == attack.about.policies.startswith("refused: ") and bool(wanted & got)
