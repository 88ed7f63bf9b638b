"""The desk over MCP: the SDK's own client talks to a process of its own, as a coding agent would."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from labs import FILES, make_lab
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.shared.exceptions import MCPError
from specs import REPOSITORY
from values import ALLOWED, ARENA, BASE, DISCARD, KEEP, PROPOSAL, TRIAL

from daemon.ledger import Committed, Ledger, TrialStarted
from daemon.mcp_server import MAX_PROGRAM, Verbs, answer
from daemon.model import OurFault, UserError

TOOLS = ["read_file", "history", "experiment", "search", "notebook", "check", "submit", "wait"]
SERVER = """
import json, sys, time
from pathlib import Path
from daemon.desk import LabDesk
from daemon.ledger import Ledger
from daemon.mcp_server import serve
from daemon.memory import TouchedMemory
from daemon.model import UserError
from policies.interface import Finding, Verdict

lab = Path(sys.argv[1])
print("a stray line on standard output must not reach the client")


def judge(train_py):
    bad = b"socket" in train_py
    found = Finding(rule="imports", line=1, column=1, message="imports socket", instead="nothing")
    return Verdict(rules=("imports",), findings=(found,) if bad else ())


def submit(train_py, hypothesis):
    (lab / "queued.json").write_text(json.dumps([train_py.decode(), hypothesis]))
    return "0123-abcd"


def wait(ticket, seconds):
    if ticket == "0123-abcd":
        return 1
    if ticket == "ffff":
        time.sleep(seconds)
        return None
    raise UserError("nobody handed in such a ticket")


desk = LabDesk(
    ledger=lambda: Ledger(lab / "ledger.sqlite"), profile="cpu", train_py=lambda: (lab / "train.py").read_bytes(),
    file=lambda name: (lab / name).read_bytes(), diff=lambda experiment: "-LR = 1\\n+LR = 2\\n", judge=judge,
    memory=TouchedMemory(),
)
serve(desk, submit, wait)
"""


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    folder = make_lab(tmp_path / "lab")
    with Ledger(folder / "ledger.sqlite") as ledger:
        for number, outcome in enumerate((KEEP, DISCARD)):
            experiment = ledger.open(
                arena=ARENA, base_commit=BASE, champion=number - 1 if number else None, program="x"
            )
            for value in (PROPOSAL, ALLOWED, TrialStarted(seed=1), TRIAL, outcome, Committed(commit=f"{number:040x}")):
                experiment = ledger.add(experiment, value)
            ledger.close(experiment)
    return folder


@asynccontextmanager
async def connected(lab: Path) -> AsyncIterator[Client]:
    script = lab / "server.py"
    script.write_text(SERVER)
    parameters = StdioServerParameters(
        command=sys.executable, args=[str(script), str(lab)], env={"PYTHONPATH": str(REPOSITORY)}, cwd=lab
    )
    async with Client(stdio_client(parameters)) as client:
        yield client


def talk(lab: Path, to: Callable[[Client], Awaitable[None]]) -> None:
    async def run() -> None:
        with anyio.fail_after(60):
            async with connected(lab) as client:
                await to(client)

    anyio.run(run)


async def ask(client: Client, tool: str, **arguments: object) -> tuple[str, bool]:
    result = await client.call_tool(tool, arguments)
    return "".join(part.text for part in result.content), bool(result.is_error)


def test_research_from_reading_to_the_result(lab: Path) -> None:
    async def to(client: Client) -> None:
        assert [tool.name for tool in (await client.list_tools()).tools] == TOOLS
        text, wrong = await ask(client, "read_file", name="train.py")
        assert "LR = 1" in text
        assert not wrong
        assert "#1 discard" in (await ask(client, "history"))[0]
        assert "#0" not in (await ask(client, "history", decision="discard"))[0]
        assert "+LR = 2" in (await ask(client, "experiment", number=1))[0]
        assert "#1" in (await ask(client, "search", words="learning rate"))[0]
        assert "# Notebook: 2 experiments" in (await ask(client, "notebook"))[0]
        assert "allowed" in (await ask(client, "check", edits=[{"search": "LR = 1", "replace": "LR = 3"}]))[0]
        refused = await ask(client, "check", train_py="import socket\n")
        assert "imports socket" in refused[0]
        assert not refused[1]
        edits = [{"search": "LR = 1", "replace": "LR = 3"}]
        queued, wrong = await ask(client, "submit", hypothesis="faster\nlearning", edits=edits)
        assert "0123-abcd" in queued
        assert not wrong
        assert "experiment 1" in (await ask(client, "wait", ticket="0123-abcd"))[0]
        assert "not decided yet" in (await ask(client, "wait", ticket="ffff", seconds=0))[0]

    talk(lab, to)
    assert json.loads((lab / "queued.json").read_text()) == ["LR = 3\n", "faster learning"]
    assert {name: (lab / name).read_bytes() for name in FILES} == FILES


def test_what_does_not_fit_is_answered_with_the_reason_and_the_session_goes_on(lab: Path) -> None:
    calls: list[tuple[str, dict[str, object], str]] = [
        ("read_file", {"name": "../lab.toml"}, "name"),
        ("read_file", {"name": "lab.toml"}, "name"),
        ("read_file", {"name": "train.py", "lab": "/"}, "there is no field lab"),
        ("history", {"limit": 0}, "limit"),
        ("history", {"limit": "5"}, "limit"),
        ("history", {"decision": "demoted"}, "decision"),
        ("experiment", {"number": 77}, "no experiment 77"),
        ("experiment", {"number": True}, "number"),
        ("search", {"words": ""}, "words"),
        ("search", {"words": "x" * 201}, "words"),
        ("notebook", {"budget_tokens": 10**9}, "there is no field budget_tokens"),
        ("check", {}, "either edits or whole_file"),
        ("check", {"edits": [{"search": "LR = 9", "replace": ""}]}, "does not occur"),
        ("check", {"edits": [{"search": "LR = 1", "replace": "x", "count": 2}]}, "there is no field"),
        ("check", {"train_py": "x" * (MAX_PROGRAM + 1)}, "train_py"),
        ("submit", {"train_py": "LR = 5\n"}, "hypothesis"),
        ("submit", {"train_py": "LR = 5\n", "hypothesis": "h", "budget": 600}, "there is no field budget"),
        ("submit", {"train_py": "LR = 5\n", "hypothesis": "h" * 501}, "hypothesis"),
        ("wait", {"ticket": "../../etc"}, "ticket"),
        ("wait", {"ticket": "abc", "seconds": 601}, "seconds"),
        ("wait", {"ticket": "abc"}, "nobody handed in"),
        ("run", {"command": "id"}, "there is no tool"),
    ]

    async def to(client: Client) -> None:
        for tool, arguments, why in calls:
            try:
                text, wrong = await ask(client, tool, **arguments)
            except MCPError as error:  # the client itself may refuse to send what the schema forbids
                text, wrong = str(error), True
            assert wrong, (tool, arguments, text)
            assert why in text, (tool, arguments, text)
        assert not (await ask(client, "notebook"))[1]

    talk(lab, to)
    assert not (lab / "queued.json").exists()


def test_it_offers_tools_and_nothing_more(lab: Path) -> None:
    async def to(client: Client) -> None:
        offered = client.server_capabilities.model_dump(exclude_none=True)
        assert set(offered) <= {"tools", "experimental", "extensions"}
        with pytest.raises(MCPError):
            await client.list_resources()
        with pytest.raises(MCPError):
            await client.list_prompts()
        for tool in (await client.list_tools()).tools:
            assert tool.input_schema["additionalProperties"] is False
            assert "$ref" not in json.dumps(tool.input_schema)

    talk(lab, to)


def test_a_long_wait_holds_up_neither_other_tools_nor_the_end(lab: Path) -> None:
    async def to(client: Client) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask_for_ever, client)
            await anyio.sleep(0.3)
            assert "LR = 1" in (await ask(client, "read_file", name="train.py"))[0]
            tasks.cancel_scope.cancel()

    async def ask_for_ever(client: Client) -> None:
        await ask(client, "wait", ticket="ffff", seconds=600)

    began = time.monotonic()
    talk(lab, to)
    assert time.monotonic() - began < 55


class Broken:
    """A desk whose every answer is a fault of the lab, or a bug."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def notebook(self) -> str:
        raise self.error


def test_a_wait_ends_when_nobody_listens_any_longer() -> None:
    """Its thread would keep the process alive."""
    asked: list[float] = []
    verbs = Verbs(Broken(KeyError()), lambda *_: "", lambda _, seconds: asked.append(seconds))  # type: ignore[arg-type,func-returns-value]
    verbs.end()
    assert answer(verbs, "wait", {"ticket": "abc", "seconds": 600})[0].startswith("not decided yet")
    assert asked == [1.0]


@pytest.mark.parametrize("error", [OurFault("/srv/secret/ledger is locked"), KeyError("/srv/secret")])
def test_a_fault_of_ours_is_an_answer_without_the_paths_of_the_machine(error: Exception) -> None:
    verbs = Verbs(Broken(error), lambda *_: "", lambda *_: None)  # type: ignore[arg-type]
    text, wrong = answer(verbs, "notebook", {})
    assert wrong
    assert "/srv/secret" not in text


def test_a_mistake_cannot_smuggle_lines() -> None:
    verbs = Verbs(Broken(UserError("bad \x1b[31m name")), lambda *_: "", lambda *_: None)  # type: ignore[arg-type]
    text, wrong = answer(verbs, "notebook", {})
    assert wrong
    assert "\x1b" not in text
