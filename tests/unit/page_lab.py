"""A ledger with hostile text wherever text can be, and the page over it, as a client sees it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from starlette.testclient import TestClient
from values import ARENA, BASE, SCORE, TRIAL

from daemon.ledger import Committed, Interrupted, Ledger, TrialStarted
from daemon.model import (
    Decision,
    Experiment,
    Lesson,
    Outcome,
    Patch,
    Proposal,
    TrialResult,
    TrialStatus,
    Usage,
)
from daemon.web.app import build
from daemon.web.doctor import Doctor
from daemon.web.settings import Facts
from policies.interface import Finding, Verdict

HOSTILE = (
    "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>\x1b[31m\u202e\x00\ud800"
    "{{7*191919}}{% raw %}</title></pre>"
)
STATUSES = {
    Decision.CRASH: TrialStatus.CRASH,
    Decision.TIMEOUT: TrialStatus.TIMEOUT,
    Decision.INVALID: TrialStatus.INVALID,
}
SECRET = 1.23456789  # a number of the hidden split
VIEWS = ("/", "/progress", "/experiments", "/notebook", "/program", "/system")
ENDINGS = (
    (Decision.KEEP, 2.0),
    (Decision.KEEP, 1.9),
    (Decision.DISCARD, 1.95),
    (Decision.REFUSED, None),
    (Decision.CRASH, None),
    (Decision.TIMEOUT, None),
    (Decision.INVALID, None),
    (None, None),
    (Decision.DISCARD, 25.0),
    (Decision.KEEP, 1.8),
)


def hostile(folder: Path, mark: str = HOSTILE) -> Path:
    """The state folder of a lab in which every writer was hostile."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "program.md").write_text(f"brief {mark}".replace("\ud800", ""))
    state = folder / ".autoresearch"
    state.mkdir()
    with Ledger(state / "ledger.sqlite") as ledger:
        champion: Experiment | None = None
        for number, (decision, bpb) in enumerate(ENDINGS):
            done = _one(ledger, number, champion, decision, bpb, mark)
            champion = done if decision is Decision.KEEP else champion
    return state


def _one(
    ledger: Ledger, number: int, champion: Experiment | None, decision: Decision | None, bpb: float | None, mark: str
) -> Experiment:
    base = champion.commit if champion and champion.commit else BASE
    arena = replace(ARENA, device=mark.replace("\ud800", ""), sandbox=mark.replace("\ud800", ""))
    experiment = ledger.open(
        arena=arena,
        base_commit=base,
        champion=champion.number if champion else None,
        program=f"brief {number // 3}\n{mark}".replace("\ud800", ""),
    )
    train_py = f"LR = {number}\n# {mark}\n".encode(errors="replace")
    proposal = Proposal(
        hypothesis=f"idea {number} {mark}", patch=Patch(train_py=train_py, base_commit=base), proposer=f"who {mark}"
    )
    experiment = ledger.add(experiment, Usage(purpose="proposal", model=mark, input_tokens=10))
    experiment = ledger.add(experiment, proposal)
    if decision is None:
        return ledger.add(experiment, Interrupted(reason=mark))
    finding = Finding(rule=f"rule {mark}", line=1, column=1, message=f"message {mark}", instead=f"instead {mark}")
    refused = decision is Decision.REFUSED
    experiment = ledger.add(experiment, Verdict(rules=(mark,), findings=(finding,) if refused else ()))
    if not refused:
        experiment = ledger.add(ledger.add(experiment, TrialStarted(seed=1)), _trial(decision, bpb, mark))
    told = f"holdout {SECRET} " if decision in (Decision.KEEP, Decision.DISCARD) else ""
    experiment = ledger.add(experiment, Outcome(decision=decision, reason=f"{told}reason {mark}"))
    experiment = ledger.add(experiment, Committed(commit=f"{number + 1:040x}"))
    return ledger.add(ledger.close(experiment), Lesson(text=f"lesson {mark}"))


def _trial(decision: Decision, bpb: float | None, mark: str) -> TrialResult:
    score = replace(
        SCORE,
        val_bpb=bpb or 0.0,
        audit={"moved": 0, "cuts": 9, "power": f"power {mark}", "holdout_bpb": SECRET, mark: SECRET},
    )
    return replace(
        TRIAL,
        status=STATUSES.get(decision, TrialStatus.OK),
        score=None if bpb is None else score,
        reason=f"ended {mark}",
        claimed={"num_steps": 5.0, "holdout": SECRET, mark: 3.0},
        log_tail=f"log {mark}\n" * 3,
        startup_seconds=2.0,
        score_seconds=3.0,
    )


def facts(state: Path, **changes: object) -> Facts:
    given = {
        "directory": str(state.parent), "state": str(state), "tag": "night", "profile": "cpu", "host": "127.0.0.1",
        "port": 9465, "boundary": (("sandbox", "docker"),),
    }  # fmt: skip
    return Facts(**(given | changes))  # type: ignore[arg-type]


def client(state: Path, **changes: object) -> TestClient:
    """A visitor of the page, on this machine; the doctor is one that answers at once."""
    doctor = Doctor(str(state), command=("/bin/echo", '{"checks": []}'))
    application = build(facts(state, **changes), doctor)
    return TestClient(application, base_url="http://127.0.0.1:9465", raise_server_exceptions=False)
