"""What the model proposer sends again and again, what the provider's cache makes of it, what it costs, and lessons."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from llm_lab import ROOT, TRAIN_PY, FakeDesk, answering, context, handing_in, proposer
from messages_protocol import say, think, use
from messages_server import Answer, MessagesServer
from proposer_conformance import closed

from daemon.model import Decision, Lesson
from daemon.proposers.interface import Context, Reflects

LOOKING = [
    [think("first, look"), use("read_file", name="prepare.py"), use("list_experiments", decision="keep", limit=5)],
    [say("now the details"), use("open_experiment", number=3), use("search_notebook", words="rotary")],
    [use("check", edits=[{"search": "LR = 1", "replace": "LR = 3"}])],
    [handing_in()],
]


@pytest.fixture
def server() -> Iterator[MessagesServer]:
    with MessagesServer(answering([handing_in()])) as running:
        yield running
        assert running.invalid == []  # whatever was tried, no request of ours was malformed


# --------------------------------------------------------------------------------------------- cache and cost


def real_context(experiments: int) -> Context:
    """As in a night: the shipped files, a full notebook, a history that grows and a champion that stays."""
    train_py = (ROOT / "train.py").read_bytes()
    desk = FakeDesk(
        texts={
            "prepare.py": (ROOT / "prepare.py").read_text(),
            "notebook": f"{experiments} experiments\n" + "a lesson about warm-up and depth\n" * 300,
            "experiment": "a diff and a log\n" * 200,
        }
    )
    start = replace(context(desk, train_py), program=(ROOT / "program.md").read_text())
    history = [*start.history, *(closed(n, b"x = %d\n" % n, 1.6) for n in range(1, experiments + 1))]
    return replace(start, history=history)


def test_the_prefix_is_the_same_for_a_night_and_most_of_the_prompt(server: MessagesServer) -> None:
    """Fifty requests, 300 s apart: outside the five minutes that a cache lives by default."""
    edit = [{"search": "DEPTH = 8", "replace": "DEPTH = 9"}]
    server.answer = answering([use("open_experiment", number=1)], [handing_in(edits=edit)])
    asked = proposer(server)
    for night in range(25):
        asked.propose(real_context(experiments=night * 40))
        server.cache.now += 301
    assert len(server.requests) == 50
    assert len({request.prefix for request in server.requests}) == 1
    shares = [len(request.prefix) / len(request.body) for request in server.requests]
    assert min(shares) >= 0.60
    first, *later = [request for request in server.requests if len(request.json["messages"]) == 1]
    assert first.cached == 0 and first.written > 10_000
    cached = [request.cached / (request.cached + request.written + request.fresh) for request in later]
    assert min(cached) >= 0.80  # the champion's file is in the cache as well
    print(f"prefix {min(shares):.3f}..{max(shares):.3f} of the bytes; cached {min(cached):.3f} of the first turn")


def test_a_new_brief_leaves_the_rules_and_prepare_in_the_cache(server: MessagesServer) -> None:
    asked = proposer(server)
    edit = handing_in(edits=[{"search": "DEPTH = 8", "replace": "DEPTH = 9"}])
    server.answer = answering([edit])
    asked.propose(real_context(0))
    asked.propose(replace(real_context(0), program="be bold"))
    assert server.requests[1].cached > 0.5 * server.requests[0].written


def test_the_same_context_gives_the_same_bytes(server: MessagesServer) -> None:
    server.answer = answering(*LOOKING)
    for _ in range(2):
        proposer(server).propose(context())
    bodies = [request.body.replace(b"toolu_4_", b"toolu_0_") for request in server.requests]
    for number in range(4, 8):
        bodies = [body.replace(b"toolu_%d_" % number, b"toolu_%d_" % (number - 4)) for body in bodies]
    assert bodies[:4] == bodies[4:]


def test_each_proposal_knows_what_it_cost(server: MessagesServer) -> None:
    server.answer = answering(*LOOKING)
    first = proposer(server).propose(real_and_small()).usage
    assert first is not None
    requests = server.requests
    assert first.requests == ("req_0", "req_1", "req_2", "req_3")
    assert first.input_tokens == sum(request.fresh for request in requests)
    assert first.cached_tokens == sum(request.cached for request in requests) > 0
    assert first.cache_write_tokens == sum(request.written for request in requests) > 0
    hour = sum(request.written_1h for request in requests)
    usd = (
        first.input_tokens * 4 + first.cached_tokens * 0.2 + hour * 8 + (first.cache_write_tokens - hour) * 5
    ) + first.output_tokens * 20
    assert first.usd == pytest.approx(usd / 1e6)
    assert (first.purpose, first.model) == ("proposal", "claude-opus-5-5")


def real_and_small() -> Context:
    return replace(context(FakeDesk(texts={"prepare.py": "x = 1\n" * 4000})), program="be bold")


def test_an_unknown_price_is_not_guessed(server: MessagesServer) -> None:
    usage = proposer(server, model="my-own").propose(context()).usage
    assert usage is not None and usage.usd is None and usage.tokens > 0


# ------------------------------------------------------------------------------------------------ reflection


def test_a_lesson_is_one_short_request(server: MessagesServer) -> None:
    server.answer = answering([think("hm"), say("Expected a gain;\ngot \x1b[1mnone."), say("Drop it." + "x" * 900)])
    asked = proposer(server, effort="max")
    assert isinstance(asked, Reflects)
    start = context()
    replicated = [closed(n, TRAIN_PY, 1.5) for n in (1, 2)]
    first, other = closed(0, b"", 1.1).trials[0], closed(0, b"", 1.52).trials[0]
    replicated = [replace(e, trials=(first, e.trials[0], other)) for e in replicated]  # the lucky first does not count
    done = closed(5, b"LR = 2\n", 1.47)
    done = replace(done, trials=(replace(done.trials[0], log_tail="step 1\n" * 2000 + "the end of the log"),))
    lesson = asked.reflect(replace(start, history=[*start.history, *replicated]), done)
    assert isinstance(lesson, Lesson)
    assert lesson.text.startswith(r"Expected a gain; got \x1b[1mnone. Drop it.") and len(lesson.text) == 600
    assert lesson.usage is not None and lesson.usage.purpose == "lesson" and (lesson.usage.usd or 0) > 0
    (request,) = server.requests
    assert request.json["max_tokens"] == 4000 and request.json["output_config"] == {"effort": "low"}
    assert "tools" not in request.json
    assert "-0.03000 (-2.1 standard deviations of one run)" in request.last_turn
    assert "the end of the log" in request.last_turn and len(request.last_turn) < 6000


def test_a_lesson_may_fail_without_harm(server: MessagesServer) -> None:
    server.answer = answering(Answer(blocks=[say("no")], stop_reason="refusal"))
    lesson = proposer(server).reflect(context(), closed(5, b"LR = 2\n", None, decision=Decision.CRASH))
    assert lesson is not None and lesson.text == "" and lesson.usage is not None
    assert proposer(server, lessons=False).reflect(context(), closed(5, b"", 1.0)) is None


def test_the_holdout_is_not_told_to_the_one_who_reflects(server: MessagesServer) -> None:
    server.answer = answering([say("hm")])
    done = closed(5, b"LR = 2\n", 1.4)
    assert done.outcome is not None
    done = replace(done, outcome=replace(done.outcome, reason="better, but not on the holdout (1.61)"))
    proposer(server).reflect(context(), done)
    assert b"holdout" not in server.requests[0].body
