"""Asks a model with patience: waits and tries again when the provider is busy, and keeps the account of it all."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from daemon.model import FaultKind, OurFault, Usage, UserError
from daemon.pricing import Prices, Tokens
from daemon.proposers.llm_values import Failure, Reply

if TYPE_CHECKING:
    from daemon.proposers.llm_wire import Wire

FIRST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 60.0
MAX_REQUEST_IDS = 64  # of one account
log = logging.getLogger("autoresearchd")


class ProviderDown(OurFault):
    """The provider gave no answer, however often it was asked; ``usage`` is what the attempt has cost."""

    kind = FaultKind.PROVIDER

    def __init__(self, text: str, usage: Usage | None = None) -> None:
        super().__init__(text)
        self.usage = usage


class OutOfTime(Exception):  # noqa: N818 - an end of patience; the conversation makes of it what it should be
    """The time for the whole conversation is over."""


class NotTaken(Exception):  # noqa: N818 - says what happened
    """The provider took the conversation so far, and does not take its latest request: it grew too long, perhaps."""


class Account:
    """What one conversation has cost so far."""

    def __init__(self, purpose: str, model: str, prices: Prices) -> None:
        self._purpose, self._model, self._prices = purpose, model, prices
        self._tokens: list[Tokens] = []
        self._requests: list[str] = []
        self.answers = 0

    def add(self, tokens: Tokens, request_id: str) -> None:
        if tokens != Tokens():
            self._tokens.append(tokens)
        if request_id and len(self._requests) < MAX_REQUEST_IDS:
            self._requests.append(request_id)

    @property
    def usage(self) -> Usage | None:
        """None while nothing was asked."""
        if not self._tokens and not self._requests:
            return None
        prices = [self._prices.usd(self._model, tokens) for tokens in self._tokens]
        return Usage(
            purpose=self._purpose,
            model=self._model,
            input_tokens=sum(tokens.input for tokens in self._tokens),
            cached_tokens=sum(tokens.cache_read for tokens in self._tokens),
            cache_write_tokens=sum(tokens.cache_write_5m + tokens.cache_write_1h for tokens in self._tokens),
            output_tokens=sum(tokens.output for tokens in self._tokens),
            usd=None if None in prices else sum(price for price in prices if price is not None),
            requests=tuple(self._requests),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long to wait, and how often. Times are seconds; ``sleep`` and ``clock`` are for tests."""

    request_seconds: float
    conversation_seconds: float
    retries: int
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


class Client:
    """Asks one provider. The retries are ours and not the SDK's.

    The SDK's end where a stream begins, so that an overload or a cut in the middle would pass them by; they know no
    deadline; and they sleep for as long as a server asks them to, be it a month.
    """

    def __init__(self, base_url: str, key: Callable[[], SecretStr], patience: Patience, seed: int) -> None:
        self._base_url, self._key, self._patience = base_url, key, patience
        self._jitter = Random(seed)  # noqa: S311 - spreads retries, protects nothing
        self._lock = threading.Lock()
        self._wire: Wire | None = None

    def deadline(self) -> float:
        """When a conversation that begins now must be over, by the patience's clock."""
        return self._patience.clock() + self._patience.conversation_seconds

    def ask(self, request: Mapping[str, Any], account: Account, deadline: float) -> Reply:
        """Return the model's answer; its cost, and that of failed attempts, goes to the account.

        Raises:
            UserError: the provider refuses such requests: a wrong key, model or option.
            ProviderDown: no answer after all retries.
            OutOfTime: the deadline is over.
            NotTaken: see there.
        """
        wire = self._connect()
        for attempt in range(self._patience.retries + 1):
            answer = self._once(wire, request, account, deadline)
            if isinstance(answer, Reply):
                return answer
            failure = answer
            if not failure.transient:
                raise self._refusal(failure, account)
            log.warning("request %s to the model failed: %s", failure.request_id or "without an id", failure.text)
            wait = self._wait(attempt, failure.retry_after_seconds)
            if attempt == self._patience.retries or wait > deadline - self._patience.clock():
                break
            self._patience.sleep(wait)
        asked = failure.retry_after_seconds
        asks = "" if asked is None else f"; it asks for {asked:g} s of patience"
        raise ProviderDown(f"the provider at {self._base_url} does not answer: {failure.text}{asks}", account.usage)

    def _refusal(self, failure: Failure, account: Account) -> Exception:
        words = f"the provider at {self._base_url} refuses the request: {failure.text}"
        return NotTaken(words) if failure.content and account.answers else UserError(words)

    def _once(self, wire: Wire, request: Mapping[str, Any], account: Account, deadline: float) -> Reply | Failure:
        left = deadline - self._patience.clock()
        if left <= 0:
            raise OutOfTime(f"{self._patience.conversation_seconds:g} s were not enough")
        started = self._patience.clock()
        answer = wire.send(request, min(left, self._patience.request_seconds))
        account.add(answer.tokens, answer.request_id)
        if isinstance(answer, Reply):
            account.answers += 1
            seconds = self._patience.clock() - started
            log.info("request %s took %.1f s and %s", answer.request_id, seconds, answer.tokens)
        return answer

    def _wait(self, attempt: int, asked: float | None) -> float:
        """As long as the provider asks for; else twice as long each time. Never all clients at the same moment."""
        spread = 0.5 + self._jitter.random() / 2
        if asked is not None:
            return asked + spread
        return min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2.0**attempt) * spread

    def _connect(self) -> Wire:
        with self._lock:
            if self._wire is None:
                from daemon.proposers.llm_wire import Wire  # the SDK: a second or more, spent when a model is asked

                self._wire = Wire(self._base_url, self._key())
            return self._wire
