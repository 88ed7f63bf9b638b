"""``policy.yaml``: which rules look at a patch, and how strictly. Text in, rules out; no file is read here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from policies.contract import Contract
from policies.interface import Policy
from policies.size import Size
from policies.syntax import Syntax
from policies.text import Text


class PolicyError(ValueError):
    """The file is not a policy; the message names the key."""


class _Rule(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class _Size(_Rule):
    max_bytes: Annotated[int, Field(gt=0, le=65_536)] = 65_536
    max_literal_characters: Annotated[int, Field(gt=0)] = 4_096


class _Syntax(_Rule):
    max_depth: Annotated[int, Field(gt=0, le=80)] = 50


class _Plain(_Rule):
    pass


class _Rules(_Rule):
    size: _Size | None = None
    text: _Plain | None = None
    syntax: _Syntax | None = None
    contract: _Plain | None = None


class _Policy(_Rule):
    rules: _Rules


def load(text: str) -> Sequence[Policy]:
    """The rules that the file switches on, in the order in which they look.

    Raises:
        PolicyError: it is not YAML, or has a wrong or unknown key.
    """
    try:
        rules = _Policy.model_validate(yaml.safe_load(text)).rules
    except yaml.YAMLError as error:
        raise PolicyError(f"policy.yaml is not valid YAML: {str(error).splitlines()[0]}") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise PolicyError(f"policy.yaml: {where}: {first['msg']}") from error
    chosen: list[Policy] = []
    if rules.size:
        chosen.append(Size(**rules.size.model_dump()))
    if rules.text:
        chosen.append(Text())
    if rules.syntax:
        chosen.append(Syntax(**rules.syntax.model_dump()))
    if rules.contract:
        chosen.append(Contract())
    return chosen
