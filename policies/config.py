"""``policy.yaml``: which rules look at a patch, and how strictly. Takes text, answers with rules; no I/O."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from policies.contract import Contract
from policies.interface import Policy
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


class _SizeSection(_Switch):
    max_bytes: Annotated[int, Field(ge=1, le=1_048_576)] = 65_536
    max_literal_characters: Annotated[int, Field(ge=1, le=1_048_576)] = 4_096


class _SyntaxSection(_Switch):
    max_depth: Annotated[int, Field(ge=1, le=80)] = 50


class _Rules(_Section):
    text: _Switch = _Switch()
    size: _SizeSection = _SizeSection()
    syntax: _SyntaxSection = _SyntaxSection()
    contract: _Switch = _Switch()


class _PolicyFile(_Section):
    version: Literal[1] = 1
    rules: _Rules = _Rules()


def load(text: str) -> Sequence[Policy]:
    """The rules that ``policy.yaml`` switches on, in the order they run. A rule not named is on, as by default.

    Raises:
        PolicyError: it is no YAML, or holds a wrong, unknown or repeated key.
    """
    rules = _read(text).rules
    available: list[tuple[_Switch, Policy]] = [
        (rules.text, Text()),
        (
            rules.size,
            Size(max_bytes=rules.size.max_bytes, max_literal_characters=rules.size.max_literal_characters),
        ),
        (rules.syntax, Syntax(max_depth=rules.syntax.max_depth)),
        (rules.contract, Contract()),
    ]
    return tuple(rule for section, rule in available if section.enabled)


def _read(text: str) -> _PolicyFile:
    if len(text) > MAX_CHARACTERS:
        raise PolicyError(f"policy.yaml has more than {MAX_CHARACTERS} characters")
    try:
        content = yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, RecursionError) as error:
        raise PolicyError(f"policy.yaml is not valid YAML: {_flat(error)}") from error
    if not isinstance(content, dict):
        raise PolicyError("policy.yaml is empty or no mapping; it needs at least `rules: {}`")
    try:
        return _PolicyFile.model_validate(content)
    except ValidationError as error:
        raise PolicyError(f"policy.yaml: {_explain(error)}") from error


class _Loader(yaml.SafeLoader):
    """YAML lets a later key override an earlier one in silence; in a policy that is refused."""

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
