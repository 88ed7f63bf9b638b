"""A champion trained for longer than the lab's experiments: on the ledger, in an arena of its own, deciding nothing."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from daemon import arenas
from daemon.arenas import LONG
from daemon.by_hand import prepared, run_watched
from daemon.decide import outcome_of
from daemon.lab import Lab
from daemon.ledger import Committed, Interrupted, Ledger, TrialStarted
from daemon.lifecycle import StopFlag, lab_lock
from daemon.model import Decision, Experiment, OurFault, Outcome, Patch, Proposal, TrialResult, TrialStatus, UserError
from daemon.models import KeepingExecutor, of_lab
from daemon.replaying import Past, Run, Start, differences, recall, train_py_of
from daemon.text import clean
from daemon.trial import SerialExecutor, TrialPlan
from daemon.workspace import commit_message
from sandbox.interface import Cancelled

MOST_SECONDS = 7 * 86400.0


def train_long(directory: Path, seconds: float, start: Start, number: int | None = None) -> Experiment:
    """Train experiment ``number``, or the champion, for ``seconds``, and write down what came of it.

    Neither the branch nor a champion changes. ``start`` is :func:`sandboxed`, or a test's own.

    Raises:
        UserError: it was not kept, its arena is not the lab's but for the time, or the lab is in use.
        OurFault: the sandbox failed; the experiment is marked interrupted.
        sandbox.interface.Cancelled: told to stop; likewise.
    """
    lab = Lab(directory)
    with lab_lock(lab.state, "run --long"), lab.ledger() as ledger:
        past = _past(ledger, number, lab.settings.time.startup_margin_seconds)
        lab = _with_time(lab, seconds)
        _check_arena(past, lab)
        run = start(lab)
        experiment = _open(lab, ledger, past, seconds)
        return _finish(lab, ledger, _try(ledger, experiment, past, run, seconds))


def sandboxed(stop: StopFlag, console: Console) -> Start:
    """Trials in the lab's own sandbox, checked and swept first; the sealed model is kept."""

    def start(lab: Lab) -> Run:
        prepared(lab, stop)
        executor = SerialExecutor(lab.wall.sandbox)
        keeping = KeepingExecutor(executor, of_lab(lab.state)) if lab.settings.retention.models else executor

        def run(plan: TrialPlan) -> TrialResult:
            number = int(plan.run_id.split("-")[0])
            return run_watched(lab, keeping, lab.spec(plan), number, "a long run", stop, console)

        return run

    return start


def _past(ledger: Ledger, number: int | None, startup_margin_seconds: float) -> Past:
    if number is None:
        champion = arenas.champion(ledger)
        if champion is None:
            raise UserError("there is no champion to train yet; `autoresearch run --experiments 5` looks for one")
        number = champion.number
    past = recall(ledger, number, startup_margin_seconds)
    if past.experiment.decision is not Decision.KEEP or past.experiment.commit is None:
        raise UserError(f"experiment {number} was not kept, and only what was kept is trained for longer")
    return past


def _with_time(lab: Lab, seconds: float) -> Lab:
    """The lab as it would be with another budget."""
    if not 0 < seconds <= MOST_SECONDS:
        raise UserError(f"--long {seconds:g}: a run may last up to {MOST_SECONDS:g} seconds")
    if seconds == lab.settings.time.train_seconds:
        raise UserError(f"--long {seconds:g} is the lab's own budget; `autoresearch replay` runs an experiment again")
    other = Lab(lab.directory)
    time = lab.settings.time.model_copy(update={"train_seconds": float(seconds)})
    other.settings = lab.settings.model_copy(update={"time": time})
    return other


def _check_arena(past: Past, lab: Lab) -> None:
    differing = [one for one in differences(past.arena, lab.arena) if not one.startswith("train_seconds ")]
    if differing:
        raise UserError(
            f"experiment {past.experiment.number} ran in another arena ({'; '.join(differing)}); a long run of it "
            "would differ by more than its time"
        )


def _open(lab: Lab, ledger: Ledger, past: Past, seconds: float) -> Experiment:
    champion = past.experiment
    assert champion.commit is not None and champion.verdict is not None  # noqa: S101 - it was kept
    experiment = ledger.open(
        arena=lab.arena,
        base_commit=champion.commit,
        champion=champion.number,
        program=lab.read("program.md").decode("utf-8", errors="replace"),
    )
    proposal = Proposal(
        hypothesis=f"experiment {champion.number}, trained for {seconds:g} s instead of {past.arena.train_seconds:g} s",
        patch=Patch(train_py=train_py_of(lab, champion), base_commit=champion.commit),
        proposer=LONG,
    )
    return ledger.add(ledger.add(experiment, proposal), champion.verdict)  # the same bytes, and so the same verdict


def _try(ledger: Ledger, experiment: Experiment, past: Past, run: Run, seconds: float) -> Experiment:
    assert experiment.proposal is not None  # noqa: S101 - it was just added
    plan = TrialPlan(
        train_py=experiment.proposal.patch.train_py,
        run_id=f"{experiment.number:05d}-0",
        seed=past.experiment.trials[0].seed,
        free_startup_seconds=past.free_startup_seconds,
    )
    experiment = ledger.add(experiment, TrialStarted(seed=plan.seed))
    try:
        result = run(plan)
    except (Cancelled, OurFault) as error:
        ledger.add(experiment, Interrupted(reason=clean(str(error), 300) or "stopped"))
        raise
    experiment = ledger.add(experiment, result)
    return ledger.add(experiment, _outcome(result, seconds))


def _outcome(result: TrialResult, seconds: float) -> Outcome:
    if result.status is not TrialStatus.OK:
        return outcome_of(result)
    return Outcome(
        decision=Decision.DISCARD, reason=f"a long run of {seconds:g} s, to be looked at; it replaces no champion"
    )


def _finish(lab: Lab, ledger: Ledger, experiment: Experiment) -> Experiment:
    """Record it in git and close; a start after a kill here does the same."""
    assert experiment.proposal is not None  # noqa: S101 - it was tried
    message = commit_message(experiment, ledger.decision_hash(experiment.number))
    commit = lab.workspace.record(experiment.number, experiment.proposal.patch, message, experiment.opened_at)
    return ledger.close(ledger.add(experiment, Committed(commit=commit)))
