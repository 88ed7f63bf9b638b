"""What a model may answer: one strict form for each tool, and how edits become a file. Nothing else is read of it."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from daemon.model import MAX_HYPOTHESIS_CHARACTERS
from daemon.text import clean

MAX_EDITS = 40
MAX_TEXT = 200_000  # characters of one search, replacement or file; the policies allow far less
_SHOWN = 80  # characters of an edit, to say which one is meant

Words = Annotated[str, Field(min_length=1, max_length=4000)]
Code = Annotated[str, Field(max_length=MAX_TEXT)]


class Mistake(Exception):  # noqa: N818 - it is the model's, and is told to it
    """An answer that cannot be used; the text says why, for the model to read."""


class _Form(BaseModel):
    """Unknown fields are refused, so that no answer can speak of anything but what the form asks for."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class ReadFile(_Form):
    name: Literal["train.py", "prepare.py", "program.md"]


class ListExperiments(_Form):
    decision: Literal["keep", "discard", "refused", "crash", "timeout", "invalid"] | None = Field(
        default=None, description="only those that ended so"
    )
    limit: int = Field(default=30, ge=1, le=60)
    before: int | None = Field(default=None, ge=0, description="only experiments with a smaller number")


class OpenExperiment(_Form):
    number: int = Field(ge=0, lt=2**31)


class SearchNotebook(_Form):
    words: str = Field(min_length=1, max_length=200)


class Edit(_Form):
    search: Code = Field(min_length=1, description="text that occurs exactly once in the champion's train.py")
    replace: Code = Field(description="the text that takes its place")


class Check(_Form):
    edits: list[Edit] | None = Field(default=None, max_length=MAX_EDITS, description="all found in the unedited file")
    whole_file: Code | None = Field(default=None, description="instead of edits: the complete new train.py")


class Propose(Check):
    hypothesis: Words = Field(description="one or two sentences: what is changed and why it should help")
    expected_effect: Words = Field(description="the change of val_bpb you predict, and by what mechanism")
    risk: Words = Field(description="what could go wrong")


SomeForm = TypeVar("SomeForm", bound=_Form)


def read(form: type[SomeForm], answer: object) -> SomeForm:
    """Check a tool's input.

    Raises:
        Mistake: naming what is missing, wrong, or not asked for.
    """
    try:
        return form.model_validate(answer)
    except ValidationError as error:
        problems = [_problem(item) for item in error.errors(include_url=False, include_input=False)[:5]]
        raise Mistake("the input does not fit the tool: " + "; ".join(problems)) from None


def _problem(error: Any) -> str:
    where = clean(".".join(str(part) for part in error["loc"]), _SHOWN) or "the input"
    if error["type"] == "extra_forbidden":
        return f"there is no field {where}"
    return f"{where}: {clean(error['msg'], 200)}"


def schema(form: type[BaseModel]) -> dict[str, Any]:
    """The form as JSON schema: without titles, and without references, which not every server resolves."""
    whole = form.model_json_schema()
    parts = whole.pop("$defs", {})
    plain: dict[str, Any] = _plain(whole, parts)
    return plain


def _plain(node: Any, parts: dict[str, Any]) -> Any:
    if isinstance(node, list):
        return [_plain(item, parts) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        return _plain(parts[node["$ref"].rpartition("/")[2]], parts)
    titled = isinstance(node.get("title"), str)  # a property may be called "title" too; then it is a schema
    return {key: _plain(value, parts) for key, value in node.items() if not (titled and key == "title")}


def apply(change: Check, train_py: bytes) -> bytes:
    """Return the new file.

    Raises:
        Mistake: neither or both forms were given, an edit does not match exactly once, or nothing would change.
    """
    if (change.edits is None) == (change.whole_file is None):
        raise Mistake("give either edits or whole_file, one of the two")
    old = train_py.decode("utf-8", errors="surrogateescape")
    new = change.whole_file if change.whole_file is not None else _edited(old, change.edits or [])
    try:
        content = new.encode("utf-8", errors="surrogateescape")
    except UnicodeEncodeError:
        raise Mistake("the new text is not valid Unicode") from None
    if content == train_py:
        raise Mistake("nothing would change: the result is the champion's own train.py")
    return content


def _edited(text: str, edits: list[Edit]) -> str:
    """All edits at once: each is looked for in the text as it was, so their order does not matter."""
    found = [(_place(text, edit, number), edit) for number, edit in enumerate(edits, start=1)]
    places = sorted(found, key=lambda place: place[0])
    for (start, edit), (following, _) in pairwise(places):
        if start + len(edit.search) > following:
            raise Mistake(f"two edits overlap, at {_named(edit)}; make one edit of them")
    for start, edit in reversed(places):
        text = text[:start] + edit.replace + text[start + len(edit.search) :]
    return text


def _place(text: str, edit: Edit, number: int) -> int:
    first = text.find(edit.search)
    if first >= 0 and text.find(edit.search, first + 1) < 0:
        return first
    count = text.count(edit.search)
    many = f"occurs {max(count, 2)} times; take in lines around it until it is unique"
    none = "does not occur; copy it character by character from train.py, with its indentation"
    raise Mistake(f"edit {number} ({_named(edit)}) {many if first >= 0 else none}. Each must match exactly once.")


def _named(edit: Edit) -> str:
    return f"«{clean(edit.search.strip(), _SHOWN)}»"


def hypothesis(answer: Propose) -> str:
    """One line for the ledger: the hypothesis, then what was expected and feared, as far as there is room."""
    limit = MAX_HYPOTHESIS_CHARACTERS
    idea, effect, risk = (
        clean(answer.hypothesis, limit),
        clean(answer.expected_effect, limit),
        clean(answer.risk, limit),
    )
    return clean(f"{_sentence(idea)} Expected: {_sentence(effect)} Risk: {_sentence(risk)}", limit)


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."
