"""A model proposer over a test server, and a desk whose answers a test writes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from messages_protocol import use
from messages_server import Answer, MessagesServer, Request
from proposer_conformance import context_of
from pydantic import SecretStr

from daemon.credentials import KeySource
from daemon.fence import fence
from daemon.model import UserError
from daemon.proposers.anthropic_llm import AnthropicOptions, AnthropicProposer
from daemon.proposers.interface import Context
from daemon.proposers.llm_client import Patience
from policies.interface import Finding, Verdict

ROOT = Path(__file__).parents[2]
TRAIN_PY = b"LR = 1\nDEPTH = 4\nWIDTH = 8\n"
KEY = "sk-ant-test-0123456789abcdef"
ALLOWED = Verdict(rules=("scope",), findings=())
REFUSED = Verdict(
    rules=("imports",), findings=(Finding(rule="imports", line=1, column=1, message="socket", instead="torch"),)
)


@dataclass
class FakeDesk:
    """Answers from a dictionary; ``asked`` is what it was asked."""

    texts: dict[str, str] = field(default_factory=dict)
    verdict: Callable[[bytes], Verdict] = lambda _train_py: ALLOWED
    asked: list[tuple[Any, ...]] = field(default_factory=list)

    def read(self, name: str) -> str:
        return self._told("read", name)

    def experiments(self, *, decision: str | None = None, limit: int = 30, before: int | None = None) -> str:
        return self._told("experiments", decision, limit, before)

    def experiment(self, number: int) -> str:
        if number > 99:
            raise UserError(f"there is no experiment {number}")
        return self._told("experiment", number)

    def search(self, words: str, limit: int = 20) -> str:
        return self._told("search", words)

    def notebook(self) -> str:
        return self._told("notebook")

    def check(self, train_py: bytes) -> Verdict:
        self.asked.append(("check", train_py))
        return self.verdict(train_py)

    def _told(self, *question: Any) -> str:
        self.asked.append(question)
        text = self.texts.get(str(question[1]) if question[0] == "read" else question[0], "")
        return fence(question[0], text)


@dataclass
class Time:
    """A clock that only sleeping moves; ``slept`` is what was slept."""

    now: float = 1000.0
    slept: list[float] = field(default_factory=list)

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def proposer(server: MessagesServer, time: Time | None = None, **options: Any) -> AnthropicProposer:
    """One with a key, which waits for nothing unless ``time`` is given."""
    time = time or Time()
    keys = KeySource(variable=SecretStr(KEY))
    parsed = AnthropicOptions(**({"base_url": server.url, "keys": keys} | options))
    patience = Patience(
        request_seconds=parsed.timeout_seconds,
        conversation_seconds=parsed.deadline_seconds,
        retries=parsed.max_retries,
        clock=time.clock,
        sleep=time.sleep,
    )
    return AnthropicProposer(parsed, patience)


def context(desk: FakeDesk | None = None, train_py: bytes = TRAIN_PY) -> Context:
    return replace(context_of(train_py), desk=desk or FakeDesk())


def handing_in(**changes: Any) -> dict[str, Any]:
    """A call of ``propose`` that is in order, but for the changes."""
    call = {
        "hypothesis": "A higher learning rate learns faster",
        "expected_effect": "-0.01 bpb",
        "risk": "it diverges",
        "edits": [{"search": "LR = 1", "replace": "LR = 2"}],
    }
    return use("propose", **{key: value for key, value in (call | changes).items() if value is not None})


def answering(*turns: Sequence[dict[str, Any]] | Answer) -> Callable[[Request], Answer]:
    """The turns of a conversation by how far it has come, so that a second conversation goes the same way."""

    def answer(request: Request) -> Answer:
        turn = turns[min(sum(m["role"] == "assistant" for m in request.json["messages"]), len(turns) - 1)]
        return turn if isinstance(turn, Answer) else Answer(blocks=turn)

    return answer
