"""The model proposer over a real server: its conversation, what it sends, what it takes, and what it pays."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from llm_lab import ALLOWED, REFUSED, ROOT, TRAIN_PY, FakeDesk, answering, context, handing_in, proposer
from messages_protocol import say, think, use
from messages_server import Answer, MessagesServer
from proposer_conformance import ProposerConformance, after, closed
from test_desk import Night
from values import KEEP

from daemon.desk import LabDesk
from daemon.fence import fence
from daemon.ledger import Ledger
from daemon.memory import TouchedMemory
from daemon.model import Proposal
from daemon.proposers.interface import Context, ProposalFailed, Proposer
from daemon.proposers.llm_answers import Edit

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


class TestConformance(ProposerConformance):
    @pytest.fixture(autouse=True)
    def _server(self, server: MessagesServer) -> None:
        server.answer = answering([use("open_experiment", number=0)], [handing_in()])
        self.server = server

    def proposer(self) -> Proposer:
        return proposer(self.server)

    def context(self) -> Context:
        return replace(context(), desk=None)

    def test_the_same_context_gives_the_same_answer(self) -> None:
        """But for the provider's own ids and the state of its cache, which are the account's."""
        first = replace(self.proposer().propose(self.context()), usage=None)
        assert replace(self.proposer().propose(self.context()), usage=None) == first

    def test_a_restart_in_the_middle_changes_nothing(self) -> None:
        later = after(self.context(), self.proposer().propose(self.context()), 1.6)
        first, second = (replace(self.proposer().propose(later), usage=None) for _ in range(2))
        assert first == second


def test_the_model_looks_things_up_and_hands_in(server: MessagesServer) -> None:
    server.answer = answering(*LOOKING)
    desk = FakeDesk(texts={"prepare.py": "MAX_SEQ_LEN = 2048", "experiment": "a diff", "search": "rotary failed"})
    proposal = proposer(server).propose(context(desk))
    assert proposal.patch.train_py == b"LR = 2\nDEPTH = 4\nWIDTH = 8\n"
    assert proposal.hypothesis == ("A higher learning rate learns faster. Expected: -0.01 bpb. Risk: it diverges.")
    verbs = [question for question in desk.asked if question[0] not in ("read", "notebook")]
    assert verbs == [
        ("experiments", "keep", 5, None),
        ("experiment", 3),
        ("search", "rotary"),
        ("check", b"LR = 3\nDEPTH = 4\nWIDTH = 8\n"),
        ("check", b"LR = 2\nDEPTH = 4\nWIDTH = 8\n"),
    ]
    assert "MAX_SEQ_LEN = 2048" in server.requests[1].last_turn
    assert "a diff" in server.requests[2].last_turn and "rotary failed" in server.requests[2].last_turn
    assert "The policies allow it." in server.requests[3].last_turn


def test_the_model_gets_its_thoughts_back_as_they_were(server: MessagesServer) -> None:
    server.answer = answering(*LOOKING)
    proposer(server).propose(context())
    said = server.requests[1].json["messages"][1]["content"]
    assert said[0] == {"type": "thinking", "thinking": "first, look", "signature": "c2ln"}
    assert said[1]["input"] == {"name": "prepare.py"}


def test_a_whole_file_will_do(server: MessagesServer) -> None:
    server.answer = answering([handing_in(edits=None, whole_file="LR = 9\n")])
    assert proposer(server).propose(context()).patch.train_py == b"LR = 9\n"


def test_the_request_is_what_the_options_say(server: MessagesServer) -> None:
    asked = proposer(server, model="local", max_tokens=999, effort="high", temperature=0.5)
    asked.propose(context())
    sent = server.requests[0].json
    assert (sent["model"], sent["max_tokens"], sent["stream"]) == ("local", 999, True)
    assert (sent["output_config"], sent["temperature"]) == ({"effort": "high"}, 0.5)
    proposer(server).propose(context())
    assert not {"output_config", "temperature", "thinking", "tool_choice"} & set(server.requests[1].json)


def test_the_tools_fit_the_labs_own_desk(server: MessagesServer, tmp_path: Path) -> None:
    night = Night(tmp_path / "ledger.sqlite")
    night.add(KEEP, hypothesis="baseline")
    night.add(hypothesis="rotary in half of the channels", lesson="it costs speed")
    desk = LabDesk(
        ledger=lambda: Ledger(night.path),
        profile="cpu",
        train_py=lambda: TRAIN_PY,
        file=lambda name: f"# {name}\n".encode(),
        diff=lambda _: "-a\n+b\n",
        judge=lambda train_py: REFUSED if b"LR = 2" in train_py else ALLOWED,
        memory=TouchedMemory(tmp_path / "touched.json"),
    )
    server.answer = answering(
        [use("list_experiments", decision="discard", limit=60, before=9), use("open_experiment", number=1)],
        [
            use("search_notebook", words="rotary"),
            use("read_file", name="program.md"),
            use("open_experiment", number=77),
        ],
        [handing_in()],
        [handing_in(edits=[{"search": "DEPTH = 4", "replace": "DEPTH = 5"}])],
    )
    proposer(server).propose(replace(context(), desk=desk))
    told = [request.last_turn for request in server.requests]
    assert "# Notebook: 2 experiments" in told[0]
    assert told[1].count("rotary in half") == 2 and "it costs speed" in told[1] and "-a\n+b" in told[1]
    assert "rotary in half" in told[2] and "# program.md" in told[2] and "77" in server.requests[2].errors[0]
    assert "Instead: torch" in server.requests[3].errors[0]


# ---------------------------------------------------------------------------------- answers that cannot be used


TWICE = b"a = 1\nb = 1\n"


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"edits": [{"search": "LR = 7", "replace": "x"}]}, "edit 1 («LR = 7») does not occur"),
        ({"edits": [{"search": " = ", "replace": "x"}]}, "edit 1 («=») occurs 3 times"),
        ({"edits": [{"search": "LR = 1", "replace": "LR = 1"}]}, "nothing would change"),
        (
            {"edits": [{"search": "LR = 1\nDEPTH", "replace": ""}, {"search": "DEPTH = 4", "replace": ""}]},
            "two edits overlap",
        ),
        ({"edits": None}, "give either edits or whole_file"),
        ({"whole_file": "x"}, "give either edits or whole_file"),
        ({"edits": []}, "nothing would change"),
        ({"risk": None}, "risk: Field required"),
        ({"hypothesis": ""}, "hypothesis: String should have at least 1 character"),
        ({"hypothesis": 7}, "hypothesis: Input should be a valid string"),
        ({"edits": "LR = 2"}, "edits: Input should be a valid list"),
        ({"edits": [{"search": "LR = 1"}]}, "edits.0.replace: Field required"),
        ({"edits": [{"search": "", "replace": "x"}]}, "edits.0.search: String should have at least 1"),
        ({"edits": [{"search": "a", "replace": "b"}] * 41}, "edits: List should have at most 40 items"),
        ({"train_seconds": 9999}, "there is no field train_seconds"),
    ],
)
def test_a_malformed_answer_goes_back_with_its_reason(
    server: MessagesServer, changes: dict[str, object], problem: str
) -> None:
    server.answer = answering([handing_in(**changes)], [handing_in()])
    assert proposer(server).propose(context()).patch.train_py.startswith(b"LR = 2")
    (error,) = server.requests[1].errors
    assert problem in error


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        (use("format_disk"), "there is no such tool"),
        (use("read_file", name="/etc/passwd"), "name: Input should be 'train.py'"),
        (use("open_experiment", number="3"), "number: Input should be a valid integer"),
        (use("open_experiment", number=100), "there is no experiment 100"),
        (use("list_experiments", limit=0), "limit: Input should be greater than or equal to 1"),
        (use("search_notebook", words="x" * 201), "words: String should have at most 200"),
        (use("check", edits=[], budget=1), "there is no field budget"),
    ],
)
def test_a_wrong_call_is_answered_with_its_reason(
    server: MessagesServer, call: dict[str, object], problem: str
) -> None:
    server.answer = answering([call], [handing_in()])
    proposer(server).propose(context())
    assert problem in server.requests[1].errors[0]


HALF = '{"hypothesis": "h", "expected_effect": "e", "risk": "r", "edits": [{"search": "LR = 1", "replace": "LR = 5"},'


@pytest.mark.parametrize("raw", [HALF, '{"hypothesis": nope', "[" * 5000, '{"edits": "\\ud800"}', '{"a": 1} {"b": 2}'])
def test_a_tools_input_that_is_no_json_is_asked_for_again(server: MessagesServer, raw: str) -> None:
    server.answer = lambda request: Answer(blocks=[handing_in() if request.number else handing_in() | {"raw": raw}])
    proposer(server).propose(context())
    assert len(server.requests) == 2
    assert "no valid JSON" in server.requests[1].last_turn


def test_a_tools_input_that_is_no_object_is_a_wrong_one(server: MessagesServer) -> None:
    server.answer = answering([handing_in() | {"raw": "[1, 2]"}], [handing_in()])
    proposer(server).propose(context())
    assert "hypothesis: Field required" in server.requests[1].errors[0]


def test_after_too_many_mistakes_the_proposal_failed_and_is_paid_for(server: MessagesServer) -> None:
    server.answer = answering([handing_in(edits=[])])
    with pytest.raises(
        ProposalFailed, match="no proposal after 3 turns and 3 bad answers: nothing would change"
    ) as failed:
        proposer(server, max_mistakes=2).propose(context())
    assert failed.value.usage is not None
    assert failed.value.usage.requests == ("req_0", "req_1", "req_2")
    assert (failed.value.usage.usd or 0) > 0


def test_talk_is_no_proposal(server: MessagesServer) -> None:
    server.answer = answering([say("I would raise LR.")], [handing_in()])
    proposer(server).propose(context())
    assert "That was no proposal" in server.requests[1].last_turn
    assert [m["role"] for m in server.requests[1].json["messages"]] == ["user", "assistant", "user"]


def test_nothing_said_at_all_is_no_proposal_either(server: MessagesServer) -> None:
    server.answer = lambda request: Answer(blocks=[handing_in()] if request.number else [])
    proposer(server).propose(context())
    assert [m["role"] for m in server.requests[1].json["messages"]] == ["user", "user"]


def test_looking_up_for_ever_is_ended(server: MessagesServer) -> None:
    server.answer = answering([use("open_experiment", number=1)])
    with pytest.raises(ProposalFailed, match="no proposal after 4 turns and 0 bad answers"):
        proposer(server, max_turns=4).propose(context())
    assert "2 of your turns are left. Call propose now." in server.requests[2].last_turn


def test_reading_is_bounded(server: MessagesServer) -> None:
    server.answer = answering(*[[use("open_experiment", number=1)] * 8] * 5, [handing_in()])
    proposer(server, max_mistakes=20).propose(context(FakeDesk(texts={"experiment": "x" * 500_000})))
    assert max(len(request.body) for request in server.requests) < 600_000
    assert "you have read all you may" in server.requests[-1].errors[-1]


def test_a_crowd_of_calls_is_cut(server: MessagesServer) -> None:
    server.answer = answering([use("open_experiment", number=1)] * 11, [handing_in()])
    proposer(server).propose(context())
    assert len(server.requests[1].errors) == 3
    assert "more than 8 calls" in server.requests[1].errors[0]


def test_an_answer_that_was_cut_off_does_nothing(server: MessagesServer) -> None:
    cut = Answer(blocks=[handing_in() | {"cut": True}], stop_reason="max_tokens")
    server.answer = answering(cut, [handing_in(edits=[{"search": "DEPTH = 4", "replace": "DEPTH = 5"}])])
    assert b"DEPTH = 5" in proposer(server).propose(context()).patch.train_py
    assert "nothing was done" in server.requests[1].errors[0]
    assert "too long and was cut off" in server.requests[1].last_turn


def test_a_whole_call_in_a_cut_answer_does_nothing_either(server: MessagesServer) -> None:
    server.answer = answering(Answer(blocks=[handing_in()], stop_reason="max_tokens"), [say("hm")], [handing_in()])
    proposer(server).propose(context())
    assert len(server.requests) == 3


def test_a_refusal_is_recorded_in_clean_words(server: MessagesServer) -> None:
    details = {"type": "refusal", "category": "frontier_llm", "explanation": "not \x1b[31mthis\u202e"}
    server.answer = answering(Answer(blocks=[say("No.")], stop_reason="refusal", stop_details=details))
    with pytest.raises(ProposalFailed) as failed:
        proposer(server).propose(context())
    assert str(failed.value) == r"the model refused: frontier_llm not \x1b[31mthis\u202e"
    assert failed.value.usage is not None and failed.value.usage.output_tokens > 0
    assert len(server.requests) == 1


def test_a_pause_is_waited_out(server: MessagesServer) -> None:
    server.answer = answering(Answer(blocks=[say("a moment")], stop_reason="pause_turn"), [handing_in()])
    proposer(server).propose(context())
    assert [m["role"] for m in server.requests[1].json["messages"]] == ["user", "assistant"]


# ----------------------------------------------------------------------------------------------- the policies


def test_what_the_policies_refuse_is_told_and_mended(server: MessagesServer) -> None:
    server.answer = answering([handing_in()], [handing_in(edits=[{"search": "LR = 1", "replace": "LR = 4"}])])
    desk = FakeDesk(verdict=lambda train_py: REFUSED if b"LR = 2" in train_py else ALLOWED)
    assert b"LR = 4" in proposer(server).propose(context(desk)).patch.train_py
    (error,) = server.requests[1].errors
    assert "line 1: imports: socket. Instead: torch" in error and "[data " in error


def test_what_stays_refused_is_left_to_the_loop(server: MessagesServer) -> None:
    """The ledger keeps it, with the policies' own verdict."""
    proposal = proposer(server, max_mistakes=2).propose(context(FakeDesk(verdict=lambda _: REFUSED)))
    assert proposal.patch.train_py.startswith(b"LR = 2")
    assert len(server.requests) == 3


# ---------------------------------------------------------------------------------------------------- the rest


def test_edits_are_found_in_the_file_as_it_was() -> None:
    from daemon.proposers.llm_answers import Check, apply

    edits = [Edit(search="b", replace="a"), Edit(search="a", replace="b")]
    assert apply(Check(edits=edits), b"a b") == b"b a"


def test_bytes_that_are_no_text_survive_an_edit() -> None:
    from daemon.proposers.llm_answers import Check, apply

    assert apply(Check(edits=[Edit(search="LR", replace="RL")]), b"LR \xff \r\n") == b"RL \xff \r\n"


def test_the_rules_describe_the_fence_as_it_is(server: MessagesServer) -> None:
    first, *_, last = fence("label", "text").splitlines()
    mark = last.removeprefix("[end of data ").removesuffix("]")
    proposer(server).propose(context())
    proposer(server).reflect(context(), closed(5, b"", 1.0))
    for request in server.requests:
        told = " ".join(request.json["system"][0]["text"].split())
        assert f"a line `{first}` and the line `{last}`".replace(mark, "MARK") in told


def test_what_is_pending_is_told(server: MessagesServer) -> None:
    running: Proposal | None = closed(7, b"x", None).proposal
    assert running is not None
    proposer(server).propose(replace(context(), pending=(closed(7, b"x", None),)))
    assert "#7 idea 7" in server.requests[0].last_turn


def test_choosing_it_loads_no_sdk() -> None:
    code = (
        "import sys, daemon.proposers.anthropic_llm as m; m.build({'base_url': 'http://127.0.0.1:1'}); "
        "print([n for n in ('anthropic', 'httpx2', 'libcst', 'optuna', 'sqlite3') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() in ("[]", "['sqlite3']")
