"""Asks a language model for the next change, over the Messages API of Anthropic or of a server that speaks it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr

from daemon import pricing
from daemon.credentials import FILE_VARIABLE, VARIABLE
from daemon.model import MAX_LESSON_CHARACTERS, Experiment, Lesson, Patch, Proposal, UserError
from daemon.pricing import Prices
from daemon.proposers import llm_prompt, llm_reflect
from daemon.proposers.interface import Context, Options, ProposalFailed, parse
from daemon.proposers.llm_answers import hypothesis
from daemon.proposers.llm_client import Account, Client, NotTaken, OutOfTime, Patience
from daemon.proposers.llm_conversation import Bounds, Message, NoProposal, Refused, converse
from daemon.proposers.llm_tools import DEFINITIONS, HandedIn, Toolbox
from daemon.proposers.llm_values import Reply
from daemon.text import clean

NAME = "anthropic"
OFFICIAL_URL = "https://api.anthropic.com"
NO_KEY = SecretStr("no-key-needed")  # the SDK wants one; a server of one's own may not look at it

Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]


class AnthropicOptions(Options):
    """``[proposer.options]`` for ``name = "anthropic"``; templates/lab.toml says what each is for."""

    model: Annotated[str, Field(min_length=1, max_length=200)] = "claude-opus-5-5"
    base_url: str = OFFICIAL_URL
    max_tokens: Annotated[int, Field(ge=256, le=1_000_000)] = 32_000
    effort: Literal["", "low", "medium", "high", "xhigh", "max"] = ""
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    max_turns: Annotated[int, Field(ge=1, le=100)] = 16
    max_mistakes: Annotated[int, Field(ge=0, le=20)] = 4
    max_read_characters: Annotated[int, Field(ge=0, le=4_000_000)] = 240_000
    timeout_seconds: Seconds = 600.0
    deadline_seconds: Seconds = 1800.0
    max_retries: Annotated[int, Field(ge=0, le=20)] = 5
    prices: str = ""
    lessons: bool = True


def build(options: Mapping[str, object]) -> AnthropicProposer:
    """Raises: UserError when an option is wrong, the price file cannot be read, or the provider's key is missing."""
    parsed = parse(NAME, AnthropicOptions, options)
    _check_url(parsed.base_url)
    _key(parsed)
    return AnthropicProposer(parsed)


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.username and not parts.password
    except ValueError:
        good = False
    if not good:
        raise UserError(
            "lab.toml: base_url of the proposer anthropic must be http(s)://HOST[:PORT][/PATH], no password"
        )


def _key(options: AnthropicOptions) -> SecretStr:
    """The key, read anew from where it lies.

    Raises:
        UserError: there is none, and the provider needs one.
    """
    key = options.keys.key()
    if key is not None:
        return key
    if f".{urlsplit(options.base_url).hostname}".endswith(".anthropic.com"):
        raise UserError(
            f"the proposer anthropic needs an API key: put it into a file of yours alone and name that file in "
            f"{FILE_VARIABLE}, or set {VARIABLE}"
        )
    return NO_KEY


class AnthropicProposer:
    """A model that looks things up at the desk and hands in a proposal. Remembers nothing between two proposals."""

    def __init__(self, options: AnthropicOptions, patience: Patience | None = None) -> None:
        self._options = options
        self._lab = Path(options.lab)
        self._prices: Prices = pricing.load(self._lab / options.prices if options.prices else None)
        if options.usd_capped and self._prices.usd(options.model, pricing.Tokens()) is None:
            raise UserError(
                f"lab.toml caps the cost in US dollars, but the price of {options.model} is not known: "
                "put it into a file that the option prices names, or cap cost.max_tokens instead"
            )
        patience = patience or Patience(
            request_seconds=options.timeout_seconds,
            conversation_seconds=options.deadline_seconds,
            retries=options.max_retries,
        )
        self._client = Client(options.base_url, lambda: _key(options), patience, options.seed)

    @property
    def name(self) -> str:
        return NAME

    def propose(self, context: Context) -> Proposal:
        """Hold one conversation.

        Raises:
            ProposalFailed: refused, too many mistakes, or out of turns or time; with what it cost.
            UserError: the provider will not have this key, model or option.
            OurFault: the provider gave no answer; a :class:`~daemon.proposers.llm_client.ProviderDown`.
        """
        account = self._account("proposal")
        ask = self._asking(account, {"system": llm_prompt.system(context, self._lab), "tools": DEFINITIONS})
        bounds = Bounds(turns=self._options.max_turns, mistakes=self._options.max_mistakes)
        try:
            done = converse(
                ask, llm_prompt.opening(context), Toolbox(context, self._options.max_read_characters), bounds
            )
        except (Refused, NoProposal, NotTaken, OutOfTime) as failure:
            raise ProposalFailed(str(failure), account.usage) from None
        return _proposal(done, context, account)

    def reflect(self, context: Context, experiment: Experiment) -> Lesson | None:
        """One short request; an empty lesson, with its cost, when the model would not write one."""
        if not self._options.lessons:
            return None
        account = self._account("lesson")
        short: dict[str, Any] = {"max_tokens": min(llm_reflect.MAX_TOKENS, self._options.max_tokens)}
        if self._options.effort:
            short["output_config"] = {"effort": "low"}
        ask = self._asking(account, {"system": llm_reflect.SYSTEM} | short)
        try:
            reply = ask(llm_reflect.messages(context, experiment))
        except OutOfTime:
            return Lesson(text="", usage=account.usage)
        return Lesson(text=_lesson(reply), usage=account.usage)

    def _account(self, purpose: str) -> Account:
        return Account(purpose, self._options.model, self._prices)

    def _asking(self, account: Account, fixed: Mapping[str, Any]) -> Callable[[Sequence[Message]], Reply]:
        deadline = self._client.deadline()
        request = self._request() | dict(fixed)
        return lambda messages: self._client.ask(request | {"messages": list(messages)}, account, deadline)

    def _request(self) -> dict[str, Any]:
        options = self._options
        request: dict[str, Any] = {"model": options.model, "max_tokens": options.max_tokens}
        if options.effort:
            request["output_config"] = {"effort": options.effort}
        if options.temperature is not None:  # the SDK has dropped it, as the provider's models refuse it; others do not
            request["extra_body"] = {"temperature": options.temperature}
        return request


def _proposal(done: HandedIn, context: Context, account: Account) -> Proposal:
    return Proposal(
        hypothesis=hypothesis(done.answer),
        patch=Patch(train_py=done.train_py, base_commit=context.base_commit),
        proposer=NAME,
        usage=account.usage,
    )


def _lesson(reply: Reply) -> str:
    if reply.stop_reason == "refusal":
        return ""
    words = " ".join(str(block["text"]) for block in reply.blocks if block["type"] == "text")
    return clean(words, MAX_LESSON_CHARACTERS)
