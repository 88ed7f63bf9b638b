"""A provider on a bad day: what is tried again, for how long, and whose fault it is in the end."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from llm_lab import KEY, Time, answering, context, handing_in, proposer
from messages_protocol import say, use
from messages_server import Answer, MessagesServer
from proposer_conformance import closed
from pydantic import SecretStr

from daemon.credentials import KeySource
from daemon.model import OurFault, UserError
from daemon.proposers import llm_wire
from daemon.proposers.anthropic_llm import AnthropicProposer, build
from daemon.proposers.interface import ProposalFailed
from daemon.proposers.llm_client import ProviderDown

DONE = Answer(blocks=[handing_in()])


@pytest.fixture
def server() -> Iterator[MessagesServer]:
    with MessagesServer([DONE], key=KEY) as running:
        yield running
        assert running.invalid == []


def first(server: MessagesServer, *bad: Answer) -> None:
    """Bad answers first, then good ones."""
    server.answer = lambda request: bad[request.number] if request.number < len(bad) else DONE


BROKEN_STREAMS = {
    "cut": Answer(blocks=[say("hm"), handing_in()], cut_after=5),
    "cut cleanly": Answer(blocks=[say("hm"), handing_in()], cut_after=5, cleanly=True),
    "cut before the end's reason": Answer(blocks=[handing_in()], cut_after=6, cleanly=True),
    "overloaded in the middle": Answer(blocks=[say("hm")], error_after=2, error="overloaded_error"),
    "an error without a type": Answer(raw=b"event: error\ndata: oops\n\n"),
    "nothing": Answer(raw=b""),
    "only pings": Answer(raw=b'event: ping\ndata: {"type": "ping"}\n\n'),
    "random bytes": Answer(raw=bytes(range(256)) * 40),
    "a page": Answer(raw=b"<html><body>Bad Gateway</body></html>"),
    "no json": Answer(raw=b"event: message_start\ndata: {{{\n\n"),
    "no message": Answer(raw=b'event: message_start\ndata: {"type": "message_start"}\n\n'),
    "a list": Answer(raw=b"event: message_start\ndata: [1, 2]\n\n"),
    "a delta of nothing": Answer(
        raw=b'event: message_start\ndata: {"type":"message_start","message":{"id":"m","type":"message","role":'
        b'"assistant","content":[],"model":"m","stop_reason":null,"usage":{"input_tokens":3,"output_tokens":1}}}\n\n'
        b'event: content_block_delta\ndata: {"type":"content_block_delta","index":7,"delta":{"type":"text_delta"}}\n\n'
    ),
}


@pytest.mark.parametrize("bad", BROKEN_STREAMS.values(), ids=BROKEN_STREAMS)
def test_a_broken_stream_is_asked_for_again(server: MessagesServer, bad: Answer) -> None:
    first(server, bad)
    assert proposer(server, Time()).propose(context()).patch.train_py.startswith(b"LR = 2")
    assert len(server.requests) == 2
    assert server.requests[0].body == server.requests[1].body


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 529])
def test_a_busy_provider_is_asked_again_with_growing_patience(server: MessagesServer, status: int) -> None:
    waited = Time()
    first(server, *[Answer(status=status, error="overloaded_error")] * 4)
    proposer(server, waited).propose(context())
    assert len(waited.slept) == 4
    for doubled, slept in enumerate(waited.slept):
        assert 0.5 * 2**doubled <= slept <= 2**doubled
    assert len({round(slept / 2**doubled, 6) for doubled, slept in enumerate(waited.slept)}) == 4  # jitter


@pytest.mark.parametrize(("header", "value"), [("retry-after", "7"), ("retry-after-ms", "7000")])
def test_the_provider_may_say_how_long(server: MessagesServer, header: str, value: str) -> None:
    waited = Time()
    first(server, Answer(status=429, error="rate_limit_error", headers={header: value}))
    proposer(server, waited).propose(context())
    assert 7.5 <= waited.slept[0] <= 8.0


@pytest.mark.parametrize("value", ["inf", "nan", "-5", "soon", "Wed, 21 Oct 2026 07:28:00 GMT"])
def test_a_strange_wish_is_not_followed(server: MessagesServer, value: str) -> None:
    waited = Time()
    first(server, Answer(status=429, headers={"retry-after": value}))
    proposer(server, waited).propose(context())
    assert 0.5 <= waited.slept[0] <= 1.0


def test_a_wait_beyond_the_deadline_is_not_begun(server: MessagesServer) -> None:
    waited = Time()
    first(server, Answer(status=429, headers={"retry-after": "86400"}))
    with pytest.raises(ProviderDown, match="it asks for 86400 s of patience"):
        proposer(server, waited).propose(context())
    assert waited.slept == []


def test_a_provider_that_stays_down_is_our_fault_and_judges_nobody(server: MessagesServer) -> None:
    waited = Time()
    server.answer = lambda _request: Answer(status=529, error="overloaded_error", words="Overloaded\x1b[2J")
    with pytest.raises(OurFault) as down:
        proposer(server, waited, max_retries=2).propose(context())
    assert str(down.value) == f"the provider at {server.url} does not answer: 529 overloaded_error Overloaded\\x1b[2J"
    assert len(server.requests) == 3 and len(waited.slept) == 2


def test_what_was_spent_before_it_went_down_is_on_the_fault(server: MessagesServer) -> None:
    bad = Answer(blocks=[say("hm")], cut_after=3)
    server.answer = answering([use("open_experiment", number=1)], bad)
    with pytest.raises(ProviderDown) as down:
        proposer(server, Time(), max_retries=1).propose(context())
    usage = down.value.usage
    assert usage is not None and usage.requests == ("req_0", "req_1", "req_2")
    counted = sum(request.fresh + request.cached + request.written for request in server.requests)
    assert usage.tokens - usage.output_tokens == counted  # those of the broken streams too


def test_nobody_there_is_our_fault() -> None:
    with MessagesServer() as server:
        asked = proposer(server, Time(), max_retries=1)
    with pytest.raises(ProviderDown, match=r"does not answer: APIConnectionError: Connection error\. \(.*refused"):
        asked.propose(context())


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, "invalid_request_error"), (402, "billing_error"), (403, "permission_error"), (404, "not_found_error")],
)
def test_what_only_a_person_can_mend_is_told_at_once(server: MessagesServer, status: int, kind: str) -> None:
    first(server, Answer(status=status, error=kind, words="model: no such model"))
    with pytest.raises(UserError, match=f"refuses the request: {status} {kind} model: no such model"):
        proposer(server).propose(context())
    assert len(server.requests) == 1


def test_a_conversation_that_grew_too_long_failed_and_the_lab_goes_on(server: MessagesServer) -> None:
    too_long = Answer(status=400, error="invalid_request_error", words="prompt is too long")
    server.answer = answering([use("open_experiment", number=1)], too_long)
    with pytest.raises(ProposalFailed, match="prompt is too long") as failed:
        proposer(server).propose(context())
    assert failed.value.usage is not None and failed.value.usage.requests == ("req_0", "req_1")


def test_a_wrong_key_is_the_persons_to_mend(server: MessagesServer) -> None:
    keys = KeySource(variable=SecretStr("sk-wrong"))
    with pytest.raises(UserError, match="401 authentication_error invalid x-api-key"):
        proposer(server, keys=keys).propose(context())


# --------------------------------------------------------------------------------------------------------- time


def test_a_slow_answer_is_broken_off(server: MessagesServer) -> None:
    first(server, Answer(blocks=[say("late")], seconds=2.0))
    started = time.monotonic()
    proposer(server, Time(), timeout_seconds=0.5).propose(context())
    assert time.monotonic() - started < 2.0
    assert len(server.requests) == 2


def test_pings_do_not_keep_a_request_alive(server: MessagesServer) -> None:
    """The SDK swallows them; only the bytes themselves show that time goes by."""
    server.answer = lambda _request: Answer(blocks=[handing_in()], pings=600, ping_seconds=0.05)
    started = time.monotonic()
    with pytest.raises(ProviderDown, match="was not complete in time"):
        proposer(server, Time(), timeout_seconds=0.5, max_retries=0).propose(context())
    assert time.monotonic() - started < 5.0


def test_a_conversation_has_an_end_and_its_price(server: MessagesServer) -> None:
    waited = Time()

    def answer(_request: object) -> Answer:
        waited.now += 50.0
        return Answer(blocks=[use("open_experiment", number=1)])

    server.answer = answer
    with pytest.raises(ProposalFailed, match="120 s were not enough") as failed:
        proposer(server, waited, deadline_seconds=120.0).propose(context())
    assert failed.value.usage is not None and len(failed.value.usage.requests) == 3


def test_a_flood_is_cut_off(server: MessagesServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llm_wire, "MAX_ANSWER_BYTES", 100_000)
    server.answer = lambda _request: Answer(raw=b'event: ping\ndata: {"type": "ping"}\n\n' * 100_000)
    with pytest.raises(ProviderDown, match="more than 100000 bytes"):
        proposer(server, Time(), max_retries=0).propose(context())


def test_a_lesson_that_cannot_be_had_is_said_so(server: MessagesServer) -> None:
    server.answer = lambda _request: Answer(status=500)
    with pytest.raises(ProviderDown):
        proposer(server, Time(), max_retries=1).reflect(context(), closed(1, b"", 1.0))


# ------------------------------------------------------------------------------------------------------ the key


def test_the_key_goes_to_the_provider_and_nowhere_else(
    server: MessagesServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("anthropic", "httpx2", "httpcore", "httpcore2", "autoresearchd"):
        monkeypatch.setattr(logging.getLogger(name), "disabled", False)
    caplog.set_level(logging.DEBUG)
    echo = Answer(status=500, words=f"your headers: x-api-key: {KEY}")
    forbidden = Answer(status=403, words=f"{KEY} may not")
    server.answer = lambda request: [echo, forbidden][min(request.number, 1)]
    asked = proposer(server, Time())
    with pytest.raises(UserError) as refused:
        asked.propose(context())
    assert server.requests[0].key == KEY
    seen: list[BaseException | None] = [refused.value]
    while seen[-1] is not None:
        seen.append(seen[-1].__cause__ or seen[-1].__context__)
    assert seen[1:] == [None]  # no exception of the SDK hangs behind ours: it would hold the request and its headers
    assert "request req_0 to the model failed" in caplog.text
    for told in (caplog.text, str(refused.value), repr(asked), repr(vars(asked)), repr(vars(asked._client))):
        assert KEY not in told
    assert "[key] may not" in str(refused.value)


def test_a_down_provider_hides_the_key_too(server: MessagesServer) -> None:
    server.answer = lambda _request: Answer(status=503, words=f"Bearer {KEY}", request_id=KEY)
    with pytest.raises(ProviderDown) as down:
        proposer(server, Time(), max_retries=0).propose(context())
    assert KEY not in f"{down.value} {down.value.usage}"
    assert down.value.__cause__ is None and down.value.__context__ is None


def test_a_redirect_does_not_take_the_key_along(server: MessagesServer) -> None:
    with MessagesServer([DONE]) as elsewhere:
        server.answer = lambda _request: Answer(status=307, headers={"location": f"{elsewhere.url}/v1/messages"})
        with pytest.raises(UserError, match="refuses the request: 307"):
            proposer(server, Time()).propose(context())
        assert elsewhere.requests == []


def test_a_missing_key_is_said_before_anything_is_asked() -> None:
    with pytest.raises(UserError, match=r"needs an API key: .* ANTHROPIC_API_KEY_FILE, or set ANTHROPIC_API_KEY"):
        load_it()
    load_it(base_url="http://127.0.0.1:1/")  # a server of one's own may want none
    load_it(base_url="https://notanthropic.com")


def test_without_a_key_a_dummy_is_sent_to_a_server_of_ones_own(server: MessagesServer) -> None:
    server.key = ""
    proposer(server, keys=KeySource()).propose(context())
    assert server.requests[0].key == "no-key-needed"


def test_the_environment_redirects_nothing(server: MessagesServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "another")
    proposer(server).propose(context())
    assert "another" not in str(server.requests[0].headers)


def load_it(**options: Any) -> AnthropicProposer:
    return build(options)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"base_url": "ftp://host"}, "base_url of the proposer anthropic must be"),
        ({"base_url": "http://user:secret@host"}, "no password"),
        ({"base_url": "http://[::1"}, "must be http"),
        ({"effort": "enormous"}, "the option 'effort' of the proposer anthropic is wrong"),
        ({"max_tokens": "many"}, "the option 'max_tokens' of the proposer anthropic is wrong"),
        ({"api_key": "sk-x"}, "the option 'api_key' of the proposer anthropic is unknown"),
        ({"timeout_seconds": 0.0}, "the option 'timeout_seconds' of the proposer anthropic is wrong"),
        ({"base_url": "http://h", "prices": "none.toml"}, "none.toml cannot be read"),
        ({"base_url": "http://h", "model": "my-own", "usd_capped": True}, "the price of my-own is not known"),
    ],
)
def test_options_are_checked(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(UserError, match=problem) as wrong:
        load_it(**options)
    assert "secret" not in str(wrong.value)


def test_a_price_file_is_found_in_the_lab(server: MessagesServer, tmp_path: Path) -> None:
    rates = "\n".join(f"{kind} = 1" for kind in ("input", "cache_write_5m", "cache_write_1h", "cache_read", "output"))
    (tmp_path / "own.toml").write_text(f"[models.my-own]\n{rates}\n")
    given = {"lab": str(tmp_path), "prices": "own.toml", "usd_capped": True}
    usage = proposer(server, model="my-own", **given).propose(context()).usage
    assert usage is not None and usage.usd == pytest.approx(usage.tokens / 1e6)
