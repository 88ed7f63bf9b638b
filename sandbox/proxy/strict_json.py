"""JSON that all readers read alike. Go's decoder takes keys in any case and the last of two; both are refused."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from sandbox.proxy.refusal import Refused, shown


def parse_object(raw: bytes) -> dict[str, Any]:
    """The object in ``raw``.

    Raises:
        Refused: no UTF-8, no JSON, no object, a key that stands twice (in any case), NaN, a lone surrogate, a fraction.
    """
    try:
        found = json.loads(
            raw.decode("utf-8"), object_pairs_hook=_object, parse_constant=_constant, parse_float=_fraction
        )
        json.dumps(found, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError) as error:
        raise Refused(f"the body is not strict JSON ({shown(error, 80)})", 400) from error
    if not isinstance(found, dict):
        raise Refused("the body is no JSON object", 400)
    return found


def canonical(value: object) -> bytes:
    """The one text of a value, which tells true from 1."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode("ascii")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    seen: set[str] = set()
    for key, _ in pairs:
        folded = key.casefold()  # folds the long s and the Kelvin sign too, as Go does
        if folded in seen:
            raise Refused(f"the body has the key {shown(key, 40)} twice", 400)
        seen.add(folded)
    return dict(pairs)


def _constant(name: str) -> NoReturn:
    raise Refused(f"the body holds {name}, which is not JSON", 400)


def _fraction(text: str) -> NoReturn:
    raise Refused(f"the body holds the fraction {shown(text, 40)}; nothing here has one", 400)
