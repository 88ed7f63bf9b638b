"""A bounded conversation: the model looks things up, tries edits, and ends with a proposal, or it is ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from daemon.proposers.llm_answers import Mistake
from daemon.proposers.llm_prompt import MINUTES
from daemon.proposers.llm_tools import PROPOSE, HandedIn, Toolbox
from daemon.proposers.llm_values import BAD_JSON, CUT, Block, Reply
from daemon.text import clean

MAX_CALLS = 8  # of tools in one turn
MAX_TOLD = 4_000  # characters of one objection
_HURRY = 2  # turns before the end at which the model is told of it

Message = dict[str, Any]
Ask = Callable[[Sequence[Message]], Reply]


class Refused(Exception):  # noqa: N818 - says what happened
    """The model, or the provider's classifier, would not answer; its words are cleaned."""


class NoProposal(Exception):  # noqa: N818 - says what happened
    """The conversation ended without a proposal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """``turns`` are requests to the model; ``mistakes`` are answers that could not be used."""

    turns: int
    mistakes: int


@dataclass(slots=True, kw_only=True)
class _Course:
    """How one conversation goes."""

    messages: list[Message]
    mistakes: int = 0
    last: HandedIn | None = None
    problems: list[str] = field(default_factory=list)


def converse(ask: Ask, opening: Sequence[Block], tools: Toolbox, bounds: Bounds) -> HandedIn:
    """Return what the model handed in; with the policies' objection when it would not mend it.

    Raises:
        Refused: see there.
        NoProposal: no usable proposal within the bounds; the text names the last problem.
    """
    course = _Course(messages=[{"role": "user", "content": [dict(block) for block in opening]}])
    for turn in range(bounds.turns):
        reply = ask(course.messages)
        if reply.stop_reason == "refusal":
            raise Refused(f"the model refused: {reply.stop_details or clean(_words(reply), 300) or 'without a word'}")
        done = _answer(course, reply, tools, bounds.turns - turn - 1)
        if done is not None:
            return done
        if course.mistakes > bounds.mistakes:
            break
    if course.last is not None:  # the policies object, and the loop will refuse it: the ledger keeps the trail
        return course.last
    last = f": {clean(course.problems[-1], 200)}" if course.problems else ""
    raise NoProposal(f"no proposal after {turn + 1} turns and {course.mistakes} bad answers{last}")


def _answer(course: _Course, reply: Reply, tools: Toolbox, turns_left: int) -> HandedIn | None:
    """Add the model's turn and ours to the course; a proposal without objection ends it."""
    if reply.blocks:
        course.messages.append({"role": "assistant", "content": list(reply.blocks)})
    if reply.stop_reason == "pause_turn":
        return None
    results: list[Block] = []
    for number, call in enumerate(block for block in reply.blocks if block["type"] == "tool_use"):
        result = _use(course, call, number, reply.stop_reason, tools)
        if isinstance(result, HandedIn):
            return result
        results.append(result)
    reminders = _reminders(course, reply, bool(results))
    course.mistakes += bool(reminders) or any("is_error" in result for result in results)  # at most one a turn
    if turns_left <= _HURRY:
        reminders.append(f"{turns_left} of your turns are left. Call {PROPOSE} now.")
    _mark(course.messages, [*results, *({"type": "text", "text": text} for text in reminders)])
    return None


def _use(course: _Course, call: Block, number: int, stop_reason: str, tools: Toolbox) -> Block | HandedIn:
    try:
        if stop_reason in CUT:  # its input may be half of what was meant
            raise Mistake("your answer was cut off, so nothing was done")
        if number >= MAX_CALLS:
            raise Mistake(f"more than {MAX_CALLS} calls in one turn; this one was not done")
        done = tools.use(str(call["name"]), call["input"])
        if isinstance(done, str):
            return _result(call, done)
        if not done.objection:
            return done
        course.last = done
        raise Mistake(f"The policies refuse this; mend it and propose again.\n{done.objection}")
    except Mistake as mistake:
        course.problems.append(str(mistake))
        return _result(call, clean(str(mistake), MAX_TOLD, lines=True), is_error=True)


def _result(call: Block, text: str, *, is_error: bool = False) -> Block:
    result = {"type": "tool_result", "tool_use_id": call["id"], "content": [{"type": "text", "text": text}]}
    return result | {"is_error": True} if is_error else result


def _reminders(course: _Course, reply: Reply, called: bool) -> list[str]:
    if reply.stop_reason in CUT:
        said = "Your answer was too long and was cut off. Think less, and use small edits in place of a file."
    elif reply.stop_reason == BAD_JSON:
        said = "The input of your tool call was no valid JSON, so nothing was done; send it again."
    elif not called:
        said = f"That was no proposal. Only the tool {PROPOSE} hands one in; call it."
    else:
        return []
    course.problems.append(said)
    return [said]


def _mark(messages: list[Message], results: list[Block]) -> None:
    """Append our turn, and move the cache's short-lived mark to its end: the next request repeats all before it."""
    for block in (block for message in messages for block in message["content"]):
        if block.get("cache_control") == MINUTES:
            del block["cache_control"]
    results[-1] = results[-1] | {"cache_control": dict(MINUTES)}
    messages.append({"role": "user", "content": results})


def _words(reply: Reply) -> str:
    return " ".join(str(block["text"]) for block in reply.blocks if block["type"] == "text")
