"""The tools of a model: thin adapters over the desk, and the one that hands a proposal in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from daemon.desk import verdict_text
from daemon.model import UserError
from daemon.proposers import llm_answers as forms
from daemon.proposers.interface import Context, Desk
from daemon.proposers.llm_answers import Mistake, Propose
from daemon.proposers.llm_prompt import MAX_TRAIN, quote

MAX_ONE = 130_000  # characters of one answer: a file must be seen whole
PROPOSE = "propose"

_FORMS: dict[str, tuple[type[BaseModel], str]] = {
    "read_file": (forms.ReadFile, "Read train.py (the champion's, the base of your edits), prepare.py or program.md."),
    "list_experiments": (forms.ListExperiments, "List experiments, newest first: number, decision, score, hypothesis."),
    "open_experiment": (
        forms.OpenExperiment,
        "Open one experiment: hypothesis, decision, numbers, diff, the end of its log, the lesson.",
    ),
    "search_notebook": (forms.SearchNotebook, "Find experiments whose hypothesis, reason or lesson has these words."),
    "check": (
        forms.Check,
        "Ask the lab's policies what they say of a change, without proposing it. "
        "Give edits or whole_file, not both; each search text must match exactly once.",
    ),
    PROPOSE: (
        forms.Propose,
        "Hand in your proposal; this ends the conversation. Give edits or whole_file, not both; "
        "each search text must match exactly once.",
    ),
}
# In this order for ever: the definitions stand at the very front of what the provider caches.
DEFINITIONS: list[dict[str, Any]] = [
    {"name": name, "description": text, "input_schema": forms.schema(form)} for name, (form, text) in _FORMS.items()
]


@dataclass(frozen=True, slots=True, kw_only=True)
class HandedIn:
    """A proposal that can be made one: the answer, the new file, and the policies' objection, if they have one."""

    answer: Propose
    train_py: bytes
    objection: str = ""


class Toolbox:
    """The tools of one conversation. When ``characters`` were handed out, it is time to propose."""

    def __init__(self, context: Context, characters: int) -> None:
        self._context = context
        self._left = characters

    def use(self, name: str, answer: object) -> str | HandedIn:
        """Do what the model asks.

        Raises:
            Mistake: it cannot be done; the text is for the model.
        """
        if name == PROPOSE:
            return self._propose(forms.read(Propose, answer))
        tools: dict[str, Callable[[object], str]] = {
            "read_file": self._read,
            "list_experiments": self._list,
            "open_experiment": self._open,
            "search_notebook": self._search,
            "check": self._check,
        }
        if name not in tools:
            raise Mistake(f"there is no such tool; there are {', '.join(_FORMS)}")
        if self._left <= 0:
            raise Mistake(f"you have read all you may in one conversation; call {PROPOSE} now")
        try:
            text = tools[name](answer)
        except UserError as error:
            raise Mistake(str(error)) from None
        self._left -= len(text)
        return text

    def _read(self, answer: object) -> str:
        name = forms.read(forms.ReadFile, answer).name
        if name == "train.py":  # the very bytes that the edits are looked for in
            text = self._context.train_py.decode("utf-8", errors="surrogateescape")
            return quote("train.py", text, MAX_TRAIN)
        return quote(name, self._desk.read(name), MAX_ONE)

    def _list(self, answer: object) -> str:
        form = forms.read(forms.ListExperiments, answer)
        rows = self._desk.experiments(decision=form.decision, limit=form.limit, before=form.before)
        return quote("list_experiments", rows, MAX_ONE)

    def _open(self, answer: object) -> str:
        return quote("open_experiment", self._desk.experiment(forms.read(forms.OpenExperiment, answer).number), MAX_ONE)

    def _search(self, answer: object) -> str:
        return quote("search_notebook", self._desk.search(forms.read(forms.SearchNotebook, answer).words), MAX_ONE)

    def _check(self, answer: object) -> str:
        change = forms.read(forms.Check, answer)
        objection = self._objection(forms.apply(change, self._context.train_py))
        return objection or "The policies allow it."

    def _propose(self, answer: Propose) -> HandedIn:
        train_py = forms.apply(answer, self._context.train_py)
        return HandedIn(answer=answer, train_py=train_py, objection=self._objection(train_py))

    def _objection(self, train_py: bytes) -> str:
        """Empty where the policies allow it, and where there is nobody to ask: the loop asks them in any case."""
        if self._context.desk is None:
            return ""
        verdict = self._context.desk.check(train_py)
        return "" if verdict.allowed else quote("policies", verdict_text(verdict), MAX_ONE)

    @property
    def _desk(self) -> Desk:
        if self._context.desk is None:
            raise Mistake("there is nothing to look up in this lab; what you were given is all there is")
        return self._context.desk
