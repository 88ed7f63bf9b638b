"""The desk of a real lab on disk: its champion, its policies, its inbox; and all of it over MCP."""

from __future__ import annotations

import sys
from pathlib import Path

import anyio
import pytest
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from specs import REPOSITORY
from values import ALLOWED, ARENA, DISCARD, KEEP, TRIAL

from daemon.checker import Checker
from daemon.checking import policy_text
from daemon.lab import Lab, init
from daemon.lab_desk import desk_of
from daemon.ledger import Committed, TrialStarted
from daemon.model import Decision, Outcome, Patch, Proposal
from daemon.program import parse

WIDER = (b"    WIDTH = 128", b"    WIDTH = 192")


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """A baseline, and a wider model that was discarded."""
    init(tmp_path / "lab", "cpu", "test")
    lab = Lab(tmp_path / "lab")
    base = lab.workspace.start_branch()
    with lab.ledger() as ledger:
        for outcome, train_py in ((KEEP, lab.read("train.py")), (DISCARD, lab.read("train.py").replace(*WIDER))):
            champion = None if outcome.decision is Decision.KEEP else 0
            patch = Patch(train_py=train_py, base_commit=base)
            experiment = ledger.open(arena=ARENA, base_commit=base, champion=champion, program="be bold")
            experiment = ledger.add(experiment, Proposal(hypothesis="wider", patch=patch, proposer="optuna"))
            for value in (ALLOWED, TrialStarted(seed=1), TRIAL, Outcome(decision=outcome.decision, reason="r")):
                experiment = ledger.add(experiment, value)
            commit = lab.workspace.record(experiment.number, patch, "an experiment", experiment.opened_at)
            ledger.close(ledger.add(experiment, Committed(commit=commit)))
            if champion is None:
                lab.workspace.advance(commit, base)
                base = commit
    return lab


def test_it_answers_from_the_labs_own_parts(lab: Lab) -> None:
    with Checker(policy_text(lab)) as checker:
        desk = desk_of(lab, checker)
        assert "WIDTH = 128" in desk.read("train.py")
        assert "evaluate_bpb" in desk.read("prepare.py")
        assert "Research programme" in desk.read("program.md")
        assert "+    WIDTH = 192" in desk.experiment(1)
        assert "[WIDTH]" in desk.notebook()
        assert "DEPTH = 2, int 1..6" in desk.notebook()
        assert not desk.check(b"import socket\n").allowed
        assert desk.check(lab.read("train.py").replace(b"    DEPTH = 2", b"    DEPTH = 3")).allowed


def test_the_brief_in_force_counts_and_not_the_file(lab: Lab) -> None:
    brief = parse(b"---\nboldness: high\n---\nthe last good one\n")
    with Checker(policy_text(lab)) as checker:
        desk = desk_of(lab, checker, program=lambda: brief, plateau_after=2)
        assert "the last good one" in desk.read("program.md")
        assert "Plateau: 1 in a row" in desk.notebook()  # high boldness: after 1 already


def test_before_there_is_any_experiment(tmp_path: Path) -> None:
    init(tmp_path / "lab", "cpu", "test")
    lab = Lab(tmp_path / "lab")
    with Checker(policy_text(lab)) as checker:
        desk = desk_of(lab, checker)
        assert "WIDTH = 128" in desk.read("train.py")
        assert "empty" in desk.notebook()
        assert not desk.check(b"import socket\n").allowed


def test_an_agent_hands_in_a_patch_that_waits_like_any_other(lab: Lab) -> None:
    program = f"from pathlib import Path; from daemon.lab import Lab; from daemon.lab_desk import serve_mcp; serve_mcp(Lab(Path({str(lab.directory)!r})))"  # noqa: E501
    parameters = StdioServerParameters(
        command=sys.executable, args=["-c", program], env={"PYTHONPATH": str(REPOSITORY)}, cwd=lab.directory
    )

    async def run() -> None:
        with anyio.fail_after(120):
            async with Client(stdio_client(parameters)) as client:
                edits = [{"search": "    DEPTH = 2", "replace": "    DEPTH = 3"}]
                checked = await client.call_tool("check", {"edits": edits})
                assert "allowed" in checked.content[0].text
                queued = await client.call_tool("submit", {"edits": edits, "hypothesis": "deeper"})
                ticket = queued.content[0].text.rsplit(" ", 1)[1]
                waited = await client.call_tool("wait", {"ticket": ticket, "seconds": 0})
                assert "not decided yet" in waited.content[0].text
                unknown = await client.call_tool("wait", {"ticket": "0" * 20 + "-" + "a" * 8, "seconds": 0})
                assert unknown.is_error

    anyio.run(run)
    (slip,) = lab.inbox.waiting()
    assert (slip.hypothesis, slip.submitter) == ("deeper", "mcp")
    assert slip.train_py == lab.read("train.py").replace(b"    DEPTH = 2", b"    DEPTH = 3")
