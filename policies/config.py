"""``policy.yaml``: which rules look at a patch, and how strictly. Takes text, answers with rules; no I/O."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import fields
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from policies.calls import Calls
from policies.contract import NAMES, Contract
from policies.history import History
from policies.imports import Imports
from policies.interface import Policy
from policies.scope import Scope
from policies.secrets import Secrets
from policies.size import Size
from policies.syntax import Syntax
from policies.text import Text

MAX_CHARACTERS = 65_536


class PolicyError(ValueError):
    """``policy.yaml`` cannot be used; one sentence says why."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class _Switch(_Section):
    enabled: bool = True


Names = Annotated[
    tuple[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$", max_length=200)], ...],
    Field(max_length=200, strict=False),  # YAML has lists, and no tuples
]
Count = Annotated[int, Field(ge=1, le=1_048_576)]


class _SizeSection(_Switch):
    max_bytes: Count = 65_536
    max_changed_lines: Count = 1_500
    max_literal_characters: Count = 4_096
    max_total_literal_characters: Count = 12_288
    max_literal_information_bytes: Count = 2_048


class _SyntaxSection(_Switch):
    max_depth: Annotated[int, Field(ge=1, le=80)] = 50


class _ImportsSection(_Switch):
    refuse: Names = ()
    unsafe_allow_imports: Names = ()


class _CallsSection(_Switch):
    allow_environment_writes: bool = True
    unsafe_allow_names: Names = ()


class _ContractSection(_Switch):
    names: Names = NAMES


class _Rules(_Section):
    scope: _Switch = _Switch()
    text: _Switch = _Switch()
    size: _SizeSection = _SizeSection()
    syntax: _SyntaxSection = _SyntaxSection()
    imports: _ImportsSection = _ImportsSection()
    calls: _CallsSection = _CallsSection()
    contract: _ContractSection = _ContractSection()
    history: _Switch = _Switch()
    secrets: _Switch = _Switch()


class _PolicyFile(_Section):
    version: Literal[1] = 1
    rules: _Rules = _Rules()


def load(text: str) -> Sequence[Policy]:
    """The rules that ``policy.yaml`` switches on, in the order they run. A rule not named is on, as by default.

    Raises:
        PolicyError: it is no YAML, or holds a wrong, unknown or repeated key.
    """
    rules = _read(text).rules
    modules = {key: getattr(rules.imports, key) for key in ("refuse", "unsafe_allow_imports")}
    names = rules.calls.unsafe_allow_names  # what may be imported may be used, and the other way round
    available: list[tuple[_Switch, Policy]] = [
        (rules.scope, Scope()),
        (rules.text, Text()),
        (rules.size, Size(**_tuned(rules.size))),
        (rules.syntax, Syntax(**_tuned(rules.syntax))),
        (rules.imports, Imports(**_tuned(rules.imports), unsafe_allow_names=names)),
        (rules.calls, Calls(**_tuned(rules.calls), **modules)),
        (rules.contract, Contract(**_tuned(rules.contract))),
        (rules.history, History()),
        (rules.secrets, Secrets()),
    ]
    return tuple(rule for section, rule in available if section.enabled)


def _tuned(section: _Switch) -> dict[str, Any]:
    return section.model_dump(exclude={"enabled"})


def describe(rules: Sequence[Policy]) -> list[tuple[str, str, Mapping[str, object]]]:
    """Name, sentence and settings of each rule, in the order they run. An open escape hatch is in the name."""
    return [(rule.name, getattr(rule, "SENTENCE", ""), _settings(rule)) for rule in rules]


def _settings(rule: Policy) -> Mapping[str, object]:
    return {field.name: getattr(rule, field.name) for field in fields(rule)}  # type: ignore[arg-type]


def _read(text: str) -> _PolicyFile:
    if len(text) > MAX_CHARACTERS:
        raise PolicyError(f"policy.yaml has more than {MAX_CHARACTERS} characters")
    try:
        content = yaml.load(text, Loader=UniqueKeys)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, RecursionError) as error:
        raise PolicyError(f"policy.yaml is not valid YAML: {_flat(error)}") from error
    if not isinstance(content, dict):
        raise PolicyError("policy.yaml is empty or no mapping; it needs at least `rules: {}`")
    try:
        return _PolicyFile.model_validate(content)
    except ValidationError as error:
        raise PolicyError(f"policy.yaml: {_explain(error)}") from error


class UniqueKeys(yaml.SafeLoader):
    """YAML lets a later key override an earlier one in silence; here that is refused."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(problem=f"the key {key!r} stands twice in one mapping")
        return super().construct_mapping(node, deep)


def _flat(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _explain(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"unknown key {where}" if first["type"] == "extra_forbidden" else f"{where}: {first['msg']}"
