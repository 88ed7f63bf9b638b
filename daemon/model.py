"""The words of the house as values: frozen, without I/O. Everything else passes these around."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum

from policies.interface import PLAIN_TRAIN_PY, Named, Verdict

MAX_HYPOTHESIS_CHARACTERS = 500
MAX_LESSON_CHARACTERS = 600


class FaultKind(StrEnum):
    """What failed where no candidate did. A proposal: the provider answered, but with nothing that can be used."""

    SERVICE = "service"
    PROVIDER = "provider"
    PROPOSAL = "proposal"


class OurFault(Exception):  # noqa: N818 - a fault is what it is; "OurFaultError" says it twice
    """The service failed (engine, disk, provider), not the candidate: no experiment is judged by it."""

    kind = FaultKind.SERVICE


class UserError(Exception):
    """A mistake that its one-sentence message helps to mend; shown without a traceback."""


class Decision(StrEnum):
    """How an experiment ended. Voided, interrupted and demoted are events, not decisions."""

    KEEP = "keep"
    DISCARD = "discard"
    REFUSED = "refused"
    CRASH = "crash"
    TIMEOUT = "timeout"
    INVALID = "invalid"


class TrialStatus(StrEnum):
    """How one train-then-score ended."""

    OK = "ok"
    CRASH = "crash"
    TIMEOUT = "timeout"
    OOM = "oom"
    OUTPUT_LIMIT = "output-limit"
    INVALID = "invalid"


class Phase(StrEnum):
    """How far an experiment has come; each is durable before its effect."""

    OPENED = "opened"
    PROPOSED = "proposed"
    CHECKED = "checked"
    TRAINING = "training"
    SCORED = "scored"
    DECIDED = "decided"
    CLOSED = "closed"
    INTERRUPTED = "interrupted"
    ABANDONED = "abandoned"
    QUARANTINED = "quarantined"


@dataclass(frozen=True, slots=True, kw_only=True)
class Patch:
    """The whole new ``train.py`` against a base commit; the diff is derived."""

    train_py: bytes
    base_commit: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.train_py).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What asking a provider cost. ``usd`` is None where the model's price is not known.

    ``purpose`` is "proposal" or "lesson"; ``requests`` are the provider's own ids. Cached tokens were read from the
    provider's cache; they are not among ``input_tokens``.
    """

    purpose: str
    model: str
    input_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    usd: float | None = None
    requests: tuple[str, ...] = ()

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.cached_tokens + self.cache_write_tokens + self.output_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """What a proposer says it learnt from an experiment: a note for its own memory, which decides nothing."""

    text: str
    usage: Usage | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A hypothesis and the patch that tests it.

    ``files`` is what the proposer said it changes, for the policies. ``ticket`` names a patch that was handed in.
    """

    hypothesis: str
    patch: Patch
    proposer: str
    files: tuple[Named, ...] = PLAIN_TRAIN_PY
    ticket: str = ""
    usage: Usage | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Arena:
    """The fixed conditions that make scores comparable. Scores of different arenas are never compared."""

    prepare_sha256: str
    manifest_sha256: str
    image_contents: str
    device: str
    torch_version: str
    train_seconds: float
    clock: str
    sandbox: str

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits over all fields."""
        canonical = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What the referee measured. Bits per byte, lower is better; ``tokens`` are targets scored."""

    val_bpb: float
    corrected_bpb: float
    tokens: int
    bytes: int
    referee_sha256: str
    audit: Mapping[str, float | int | str]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialResult:
    """One train-then-score of one ``train.py``. Seconds are the host's; ``claimed`` is what the log said.

    ``of`` is the number of the champion whose program ran, beside a candidate and on its seed; None for a candidate's
    own trial. ``lent_by`` is the experiment in which a rival was really run, where this one only looks at its score.
    """

    status: TrialStatus
    reason: str
    seed: int
    score: Score | None = None
    claimed_bpb: float | None = None
    claimed: Mapping[str, float] | None = None
    exit_code: int | None = None
    startup_seconds: float = 0.0
    charged_seconds: float = 0.0
    train_wall_seconds: float = 0.0
    score_seconds: float = 0.0
    total_seconds: float = 0.0
    log_tail: str = ""
    of: int | None = None
    lent_by: int | None = None

    @property
    def val_bpb(self) -> float | None:
        return self.score.val_bpb if self.score else None

    @property
    def tokens(self) -> int | None:
        return self.score.tokens if self.score else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The decision and the sentence that explains it."""

    decision: Decision
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """One row of the ledger: proposal, verdict, trials, decision. Experiment 0 is the baseline.

    ``trials`` are of its own program. A candidate's first is the one it was looked at for; those after it are
    replicates on fresh seeds, and ``rivals`` are the champion's on the same seeds.
    """

    number: int
    arena: str
    base_commit: str
    champion: int | None
    phase: Phase
    opened_at: str
    closed_at: str | None = None
    proposal: Proposal | None = None
    verdict: Verdict | None = None
    trials: tuple[TrialResult, ...] = ()
    rivals: tuple[TrialResult, ...] = ()
    outcome: Outcome | None = None
    commit: str | None = None
    program_sha256: str | None = None
    events: tuple[str, ...] = ()
    usages: tuple[Usage, ...] = ()
    lesson: str = ""

    @property
    def decision(self) -> Decision | None:
        return self.outcome.decision if self.outcome else None

    @property
    def counted(self) -> tuple[TrialResult, ...]:
        """The trials that its score is the mean of.

        A candidate is replicated because its first score was good, so that one is left out as soon as there are others:
        what remains was not chosen for being lucky.
        """
        return self.trials[1:] if self.champion is not None and len(self.trials) > 1 else self.trials

    @property
    def val_bpb(self) -> float | None:
        """Mean over the scored trials that count, or None when none was scored."""
        scores = [trial.val_bpb for trial in self.counted if trial.val_bpb is not None]
        return sum(scores) / len(scores) if scores else None

    @property
    def pairs(self) -> tuple[tuple[float, float], ...]:
        """Scores (champion's, candidate's) of the seeds that both were run with."""
        mine = {trial.seed: trial.val_bpb for trial in self.trials[1:]}
        found = ((rival.val_bpb, mine.get(rival.seed)) for rival in self.rivals)
        return tuple((theirs, own) for theirs, own in found if theirs is not None and own is not None)

    @property
    def gain_bpb(self) -> float | None:
        """What it gained on the champion by the pairs, bits per byte, more is better; None where there are none."""
        gains = [theirs - own for theirs, own in self.pairs]
        return sum(gains) / len(gains) if gains else None

    @property
    def hypothesis(self) -> str:
        return self.proposal.hypothesis if self.proposal else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """One line about an experiment, cheap to list by the ten thousand. Seconds are sums over its trials.

    ``rivals`` are the champion's trials run beside it, ``gain_bpb`` what the pairs say, ``replicate_seconds`` what of
    ``total_seconds`` went to replicates, the champion's among them.

    ``patch_sha256`` and ``fingerprint`` are empty for an experiment without a proposal or a verdict on a program.
    ``tokens`` and ``usd`` are what its proposer's provider counted, and charged where the price is known.
    """

    number: int
    arena: str
    phase: Phase
    opened_at: str
    closed_at: str | None
    champion: int | None
    hypothesis: str
    proposer: str
    decision: Decision | None
    reason: str
    status: TrialStatus | None
    val_bpb: float | None
    commit: str | None
    trials: int
    peak_vram_mb: float | None
    startup_seconds: float
    train_wall_seconds: float
    score_seconds: float
    total_seconds: float
    base_commit: str
    patch_sha256: str
    fingerprint: str
    ticket: str
    lesson: str
    tokens: int
    usd: float
    rivals: int
    gain_bpb: float | None
    replicate_seconds: float
