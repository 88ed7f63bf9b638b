"""The desk of a lab on disk, and that desk over MCP: its parts put together."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from daemon import arenas, handing_in
from daemon.checker import Checker
from daemon.checking import policy_text
from daemon.decide import Noise
from daemon.desk import LabDesk
from daemon.lab import Lab
from daemon.memory import TouchedMemory
from daemon.model import Experiment
from daemon.notebook import BUDGET_TOKENS
from daemon.plateau import PLATEAU_AFTER
from daemon.program import Program
from daemon.tried import tried_on
from policies.interface import Submission, Verdict

SUBMITTER = "mcp"


def desk_of(
    lab: Lab,
    checker: Checker,
    *,
    arena: str | None = None,
    noise: Callable[[], Noise | None] = lambda: None,
    budget_tokens: int = BUDGET_TOKENS,
    program: Callable[[], Program] | None = None,
    plateau_after: int = PLATEAU_AFTER,
) -> LabDesk:
    """A desk whose answers are the lab's present state.

    ``arena`` is the fingerprint of the one in use. ``program`` gives the brief in force, which may be older than the
    file: its boldness moves ``plateau_after``. Without it the file is read as it is.
    """
    return LabDesk(
        ledger=lab.ledger,
        profile=lab.settings.profile,
        train_py=partial(champions_file, lab, arena),
        file=partial(_file, lab, program),
        diff=partial(_diff, lab),
        judge=partial(_judge, lab, checker, arena),
        memory=TouchedMemory(lab.state / "touched.json"),
        arena=arena,
        noise=noise,
        budget_tokens=budget_tokens,
        plateau_after=lambda: program().knobs.plateau_after(plateau_after) if program else plateau_after,
    )


def serve_mcp(lab: Lab) -> None:
    """Serve one MCP client on standard input and output until it leaves.

    Raises:
        UserError: policy.yaml is wrong.
        OurFault: the policy checker cannot be started.
    """
    from daemon.mcp_server import serve

    with Checker(policy_text(lab)) as checker:
        serve(desk_of(lab, checker), partial(lab.inbox.put, submitter=SUBMITTER), partial(handing_in.wait, lab))


def _champion(lab: Lab, arena: str | None) -> Experiment | None:
    with lab.ledger() as ledger:
        found = arena or arenas.current(ledger)
        return ledger.champion(found) if found else None


def champions_file(lab: Lab, arena: str | None = None) -> bytes:
    """The train.py of the champion; the lab's own file before there is one."""
    champion = _champion(lab, arena)
    if champion is None or champion.commit is None:
        return lab.read("train.py")
    return lab.workspace.read(champion.commit)


def _file(lab: Lab, program: Callable[[], Program] | None, name: str) -> bytes:
    return program().text.encode() if program and name == "program.md" else lab.read(name)


def _diff(lab: Lab, experiment: Experiment) -> str:
    return lab.workspace.diff(experiment.base_commit, experiment.commit) if experiment.commit else ""


def _judge(lab: Lab, checker: Checker, arena: str | None, train_py: bytes) -> Verdict:
    champion = _champion(lab, arena)
    if champion is None or champion.commit is None:
        return checker.check(Submission(patch=train_py, base=lab.read("train.py")))
    with lab.ledger() as ledger:
        tried = tried_on(champion.commit, ledger.summaries(arena=champion.arena))
    return checker.check(Submission(patch=train_py, base=lab.workspace.read(champion.commit), tried=tried))
