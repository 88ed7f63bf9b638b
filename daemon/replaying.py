"""Run an experiment again from its commit, under the conditions it had, and say how far the scores lie apart."""

from __future__ import annotations

import hashlib
import math
import statistics
import uuid
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeAlias

from rich.console import Console
from rich.table import Table

from daemon import selfcheck
from daemon.console import ConsoleObserver
from daemon.lab import Lab
from daemon.ledger import Ledger
from daemon.lifecycle import StopFlag, lab_lock
from daemon.model import Arena, Decision, Experiment, OurFault, TrialResult, TrialStatus, UserError
from daemon.observe import Observers, PhaseEntered
from daemon.output import print_json
from daemon.slots import Waiting, alone, turns_of
from daemon.text import clean
from daemon.trial import Listener, TrialPlan, run_trial
from sandbox import preflight

Run: TypeAlias = Callable[[TrialPlan], TrialResult]
Start: TypeAlias = Callable[[Lab], Run]
MAX_RUNS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One seed: how it ended then (None: it was not run with this seed) and now. Scores in bits per byte.

    ``reason`` is why it has no score now.
    """

    seed: int
    then_status: TrialStatus | None
    then_bpb: float | None
    now_status: TrialStatus
    now_bpb: float | None
    reason: str = ""

    @property
    def difference_bpb(self) -> float | None:
        return self.now_bpb - self.then_bpb if self.now_bpb is not None and self.then_bpb is not None else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """What came of it. ``sigma_bpb`` is of one run, from ``sigma_runs`` runs of the baseline and of this replay.

    ``difference_bpb`` is the mean now less the mean then; ``sigmas`` is it over the deviation that a difference of two
    such means has by chance. Each is None where it cannot be said.
    """

    number: int
    pairs: Sequence[Pair]
    difference_bpb: float | None
    sigma_bpb: float | None
    sigma_runs: int
    sigmas: float | None
    differing: Sequence[str]

    @property
    def ended_alike(self) -> bool:
        """Did every run end as the experiment did?"""
        first = self.pairs[0].then_status  # stands for seeds that it was not run with
        return all((pair.then_status or first) is pair.now_status for pair in self.pairs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What the ledger has of an experiment that is to run again."""

    experiment: Experiment
    arena: Arena
    baselines: Sequence[Sequence[TrialResult]]
    free_startup_seconds: float | None


def replay(directory: Path, number: int, start: Start, *, runs: int | None = None, other_arena: bool = False) -> Replay:
    """Run experiment ``number`` again, ``runs`` times (as often as it was run, by default), with the seeds it had.

    The lab is locked meanwhile; ledger and git are only read. ``start`` is :func:`sandboxed`, or a test's own.

    Raises:
        UserError: it never ran, it was refused, the arena differs and ``other_arena`` is not set, or the lab is in use.
        OurFault: the sandbox failed, or the commit is not what the ledger says.
    """
    lab = Lab(directory)
    with lab_lock(lab.state, "replay"):
        with lab.ledger() as ledger:
            past = recall(ledger, number, lab.settings.time.startup_margin_seconds)
        differing = differences(past.arena, lab.arena)
        if differing and not other_arena:
            raise UserError(
                f"experiment {number} ran in another arena ({'; '.join(differing)}), and scores of two arenas cannot "
                "be compared; --other-arena runs it all the same"
            )
        train_py = _train_py(lab, past.experiment)
        run, results = start(lab), []
        for seed in _seeds(past.experiment, runs):
            run_id = f"replay-{number}-{uuid.uuid4().hex[:8]}"
            free = past.free_startup_seconds
            results.append(run(TrialPlan(train_py=train_py, run_id=run_id, seed=seed, free_startup_seconds=free)))
    return compare(past, results, differing)


def sandboxed(stop: StopFlag, console: Console) -> Start:
    """Trials in the lab's own sandbox, checked and swept first."""

    def start(lab: Lab) -> Run:
        lab.check_owner()
        preflight.check_memory(lab.settings.limits())
        lab.wall.sandbox.reap(lab.id)
        selfcheck.ensure(lab, alone(lab, stop))
        return lambda plan: _in_sandbox(lab, plan, stop, console)

    return start


def _in_sandbox(lab: Lab, plan: TrialPlan, stop: StopFlag, console: Console) -> TrialResult:
    observer = ConsoleObserver(console)

    def on_phase(phase: str, seconds: float) -> None:
        number = int(plan.run_id.split("-")[1])
        observer.notify(
            PhaseEntered(number=number, phase=phase, seconds=seconds, hypothesis=f"seed {plan.seed}, again")
        )

    spec = lab.spec(plan)
    with observer.drawing(), turns_of(lab).held(spec, Waiting(gives_up=stop, observers=Observers([observer]))):
        return run_trial(lab.wall.sandbox, spec, Listener(on_phase=on_phase, cancel=stop))


def recall(ledger: Ledger, number: int, startup_margin_seconds: float) -> Past:
    """What is needed to run it again.

    Raises:
        UserError: there is no such experiment, it was refused, or it was interrupted before it had a result.
    """
    experiment = ledger.get(number)
    if experiment.decision is Decision.REFUSED:
        raise UserError(
            f"experiment {number} was refused and never ran; `autoresearch check FILE` says what is allowed"
        )
    if not experiment.trials:
        raise UserError(f"experiment {number} has no result to compare with: it is {experiment.phase.value}")
    earlier = [row for row in ledger.summaries(experiment.arena) if row.champion is None and row.number <= number]
    baselines = [row for row in earlier if row.decision is Decision.KEEP]
    slowest = max((row.startup_seconds / max(1, row.trials) for row in earlier), default=0.0)
    return Past(
        experiment=experiment,
        arena=ledger.arena(experiment.arena),
        baselines=[ledger.get(row.number).trials for row in baselines],
        free_startup_seconds=None if experiment.champion is None else slowest + startup_margin_seconds,
    )


def differences(then: Arena, now: Arena) -> list[str]:
    """The fields in which two arenas differ, with both values."""
    before, after = asdict(then), asdict(now)
    return [
        f"{name} was {_short(before[name])} and is {_short(after[name])}"
        for name in before
        if before[name] != after[name]
    ]


def _short(value: object) -> str:
    text = clean(str(value), 60)
    return f"{text[:12]}…" if len(text) > 40 and text.isalnum() else text


def _train_py(lab: Lab, experiment: Experiment) -> bytes:
    assert experiment.proposal is not None  # noqa: S101 - it ran
    patch = experiment.proposal.patch
    if experiment.commit is None:  # interrupted after a trial: only the ledger has it
        return patch.train_py
    content = lab.workspace.read(experiment.commit)
    if hashlib.sha256(content).hexdigest() != patch.sha256:
        raise OurFault(
            f"the commit {experiment.commit[:10]} of experiment {experiment.number} holds another train.py than the "
            "ledger; `autoresearch verify` says more"
        )
    return content


def _seeds(experiment: Experiment, runs: int | None) -> list[int]:
    """Those of its trials, and the next ones when more runs are asked for."""
    seeds = [trial.seed for trial in experiment.trials]
    wanted = len(seeds) if runs is None else runs
    if not 1 <= wanted <= MAX_RUNS:
        raise UserError(f"an experiment can be replayed 1 to {MAX_RUNS} times at once, not {wanted}")
    following = range(max(seeds) + 1, max(seeds) + 1 + wanted)
    return [*seeds, *following][:wanted]


def compare(past: Past, results: Sequence[TrialResult], differing: Sequence[str] = ()) -> Replay:
    """Pure: then against now. No figure is given in standard deviations across arenas."""
    then = past.experiment.trials
    before = {trial.seed: trial for trial in then}
    now = [score for trial in results if (score := _score(trial)) is not None]
    was = [score for trial in then if (score := _score(trial)) is not None]
    difference = statistics.fmean(now) - statistics.fmean(was) if now and was else None
    sigma, runs = _sigma([*([_score(trial) for trial in baseline] for baseline in past.baselines), now])
    chance = sigma * math.sqrt(1 / len(now) + 1 / len(was)) if sigma and now and was else None
    return Replay(
        number=past.experiment.number,
        pairs=[_pair(before.get(trial.seed), trial) for trial in results],
        difference_bpb=difference,
        sigma_bpb=sigma,
        sigma_runs=runs,
        sigmas=difference / chance if difference is not None and chance and not differing else None,
        differing=differing,
    )


def _pair(then: TrialResult | None, now: TrialResult) -> Pair:
    return Pair(
        seed=now.seed,
        then_status=then.status if then else None,
        then_bpb=_score(then) if then else None,
        now_status=now.status,
        now_bpb=_score(now),
        reason=clean(now.reason, 300),
    )


def _score(trial: TrialResult) -> float | None:
    return trial.val_bpb if trial.val_bpb is not None and math.isfinite(trial.val_bpb) else None


def _sigma(groups: Sequence[Sequence[float | None]]) -> tuple[float | None, int]:
    """The deviation of one run, pooled over groups that each ran one train.py, and how many runs that is from."""
    several = [scores for group in groups if len(scores := [score for score in group if score is not None]) > 1]
    freedom = sum(len(scores) - 1 for scores in several)
    if not freedom:
        return None, 0
    squares = sum(statistics.variance(scores) * (len(scores) - 1) for scores in several)
    return math.sqrt(squares / freedom), sum(map(len, several))


def show(done: Replay, console: Console, *, as_json: bool) -> None:
    """Print then, now and the difference."""
    if as_json:
        print_json({**asdict(done), "ended_alike": done.ended_alike})
        return
    table = Table("seed", "then", "now", "difference (bits per byte)", title=f"experiment {done.number} again")
    for pair in done.pairs:
        table.add_row(
            str(pair.seed),
            _cell(pair.then_status, pair.then_bpb),
            _cell(pair.now_status, pair.now_bpb),
            "" if pair.difference_bpb is None else f"{pair.difference_bpb:+.6f}",
        )
    console.print(table)
    for pair in done.pairs:
        if pair.now_bpb is None:
            why = clean(pair.reason, 300)
            console.print(f"seed {pair.seed}: {why}", markup=False, highlight=False, soft_wrap=True)
    console.print(_verdict(done), highlight=False, soft_wrap=True)


def _cell(status: TrialStatus | None, bpb: float | None) -> str:
    return f"{bpb:.6f}" if bpb is not None else status.value if status else "not run"


def _verdict(done: Replay) -> str:
    if done.difference_bpb is None:
        return "it ended as it did then" if done.ended_alike else "it did not end as it did then"
    text = f"the mean moved by {done.difference_bpb:+.6f} bits per byte"
    if done.differing:
        return f"{text}, in another arena ({'; '.join(done.differing)})"
    if done.sigmas is None and done.sigma_runs:
        return f"{text}; the {done.sigma_runs} runs that chance could be told from all scored the same"
    if done.sigmas is None:
        return f"{text}; how much of that is chance is not known from single runs (--runs 3 would tell)"
    sigma = f"of one run: {done.sigma_bpb:.6f}, from {done.sigma_runs} runs"
    return f"{text}, {done.sigmas:+.1f} standard deviations of such a difference ({sigma})"
