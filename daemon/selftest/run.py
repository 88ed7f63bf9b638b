"""Run the attacks: each in the real sandbox with the policies off, and each through the policies alone."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from daemon.lab import Lab
from daemon.model import OurFault, TrialStatus
from daemon.payload import payload
from daemon.selftest import corpus
from daemon.selftest.corpus import Attack
from daemon.selftest.judge import (
    FAULT,
    LEAK,
    REFUSED,
    Seen,
    as_expected,
    judged,
    policies_as_expected,
    policy_word,
)
from daemon.selftest.report import AttackResult
from daemon.selftest.sinks import judged_submission, judged_text, leak, of_trial
from daemon.text import clean
from daemon.trial import Listener, TrialPlan, run_trial
from policies import config
from policies.engine import check
from policies.interface import Named, Policy, Submission, Tried, Verdict
from sandbox.interface import Limits, MiB, Sandbox, SandboxSpec, TimeRules

CONTROL = "control/honest"
Cancel = Callable[[], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Where the attacks are run: a sandbox, and the spec that every attack's own is made of."""

    sandbox: Sandbox
    spec: SandboxSpec

    def spec_of(self, attack: Attack) -> SandboxSpec:
        about = attack.about
        times = TimeRules(
            train_seconds=about.train_seconds,
            startup_seconds=about.startup_seconds,
            free_startup_seconds=about.free_startup_seconds,
            score_seconds=about.score_seconds,
        )
        run_id = f"attack-{uuid.uuid4().hex[:8]}"
        return replace(self.spec, run_id=run_id, train_py=attack.program, times=times, audit_rows=about.audit_rows)


def range_of(lab: Lab) -> Range:
    """The lab's own sandbox and data, with limits so tight that each is met in seconds."""
    plan = TrialPlan(train_py=b"", run_id="attack", seed=lab.settings.decide.train_seed, free_startup_seconds=None)
    spec = lab.spec(plan)
    return Range(sandbox=lab.wall.sandbox, spec=replace(spec, gpu=None, limits=tight(spec.limits)))


def tight(limits: Limits) -> Limits:
    return replace(
        limits, memory_bytes=1024 * MiB, output_bytes=32 * MiB, tmp_bytes=32 * MiB, cache_bytes=32 * MiB,
        shm_bytes=32 * MiB, pids=128,
    )  # fmt: skip


def attack(
    ground: Range, *, quick: bool = False, only: str | None = None, cancel: Cancel = lambda: False
) -> Iterator[AttackResult]:
    """Run the corpus, the honest control first; ``quick`` and ``only`` (part of a name) choose from it.

    Raises:
        UserError: the corpus is not there.
        OurFault: the control was not scored, so nothing can be judged by it.
        sandbox.interface.Cancelled: ``cancel`` answered true in the middle of a trial.
    """
    attacks = corpus.load()
    honest_bpb = merit(ground, attacks, cancel)
    for one in attacks:
        if cancel():
            return
        if (quick and not one.about.quick) or (only and only not in one.name):
            continue
        yield run_one(ground, one, honest_bpb, cancel)


def merit(ground: Range, attacks: Sequence[Attack], cancel: Cancel) -> float:
    """The score that the honest program deserves.

    Raises:
        OurFault: it got none.
    """
    control = next(one for one in attacks if one.name == CONTROL)
    result = run_trial(ground.sandbox, ground.spec_of(control), Listener(cancel=cancel))
    if result.status is not TrialStatus.OK or result.val_bpb is None:
        raise OurFault(f"the honest control was not scored ({result.status.value}: {clean(result.reason, 300)})")
    return result.val_bpb


def run_one(ground: Range, one: Attack, honest_bpb: float, cancel: Cancel = lambda: False) -> AttackResult:
    """One attack, judged both ways."""
    began = time.monotonic()
    seen = observe(ground, one, honest_bpb, cancel)
    static = policy_word(by_policies(one, default_rules()))
    return AttackResult(
        name=one.name,
        title=one.about.title,
        layer=one.about.layer,
        expected=one.about.expect,
        verdict=seen.verdict,
        detail=clean(seen.detail, 300),
        correct=as_expected(seen, one),
        policies_expected=one.about.policies,
        policies=static,
        policies_correct=policies_as_expected(static, one),
        residual=one.about.residual,
        seconds=time.monotonic() - began,
    )


def observe(ground: Range, one: Attack, honest_bpb: float, cancel: Cancel = lambda: False) -> Seen:
    """What came of it with the policies off."""
    if one.about.kind == "submission":
        return judged_submission(one)
    if one.about.kind == "text":
        return judged_text(one, ground.spec_of(one))
    try:
        result = run_trial(ground.sandbox, ground.spec_of(one), Listener(cancel=cancel))
    except OurFault as error:
        return Seen(verdict=FAULT, detail=str(error))
    except ValueError as error:  # more bytes than the sandbox takes
        return Seen(verdict=REFUSED, detail=str(error))
    unclean = leak(of_trial(result))
    return Seen(verdict=LEAK, detail=unclean) if unclean else judged(result, one, honest_bpb, ground.spec.vocab_size)


def default_rules() -> Sequence[Policy]:
    return config.load(payload("policy.yaml").decode())


def by_policies(one: Attack, rules: Sequence[Policy]) -> Verdict | None:
    """The policies alone; None for what is no program, which they are never shown."""
    if one.about.kind == "text":
        return None
    base = payload("train.py")
    tried = {}
    if one.about.tried:
        honest = next(other for other in corpus.load() if other.name == CONTROL).program
        fingerprint = check(Submission(patch=honest, base=base), rules).fingerprint
        tried = {fingerprint: Tried(experiment=3, outcome="discard")}
    files = (Named(path=one.about.path, mode=int(one.about.mode, 8)),)
    return check(Submission(patch=one.program, base=base, files=files, tried=tried), rules)
