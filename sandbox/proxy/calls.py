"""The calls that the sandbox makes, one rule each; whatever matches none of them is refused. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import parse_qsl

from sandbox.proxy.refusal import Refused, shown

NAME = r"(?P<name>[A-Za-z0-9][A-Za-z0-9_.-]{0,127})"
IMAGE = r"(?P<name>[A-Za-z0-9][A-Za-z0-9._:/-]{0,255}(?:%40[a-z0-9:]{1,80})?)"  # the client writes @ as %40
# Older versions of the API read the same bodies in other ways; the sandbox asks for 1.41 at least.
VERSION = re.compile(r"/v1\.(?P<minor>4[1-9]|[5-9][0-9])(?P<rest>/.*)")
YES, NO, ALL = r"1|True|true", r"0|False|false", r"-1|0"


class Kind(StrEnum):
    """What is asked for."""

    VERSION = "version"
    INFO = "info"
    IMAGE = "image"
    LIST_CONTAINERS = "list containers"
    LIST_VOLUMES = "list volumes"
    LIST_IMAGES = "list images"
    REMOVE_IMAGE = "remove image"
    CREATE_CONTAINER = "create container"
    CREATE_VOLUME = "create volume"
    REMOVE_VOLUME = "remove volume"
    REMOVE = "remove"
    INSPECT = "inspect"
    START = "start"
    KILL = "kill"
    WAIT = "wait"
    ATTACH = "attach"
    UPDATE = "update"


WITH_BODY = frozenset({Kind.CREATE_CONTAINER, Kind.CREATE_VOLUME, Kind.UPDATE})
NAMED_CONTAINER = frozenset(
    {Kind.REMOVE, Kind.INSPECT, Kind.START, Kind.KILL, Kind.WAIT, Kind.ATTACH, Kind.UPDATE}
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One call: its path without the version, and what may and must stand in its query."""

    kind: Kind
    method: str
    path: str
    may: Mapping[str, str] = field(default_factory=dict)
    must: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call that is known. ``version`` is empty or begins the path, such as ``/v1.41``."""

    kind: Kind
    method: str
    version: str
    name: str
    query: Mapping[str, str]


def _on(kind: Kind, verb: str, **may: str) -> Rule:
    return Rule(kind=kind, method="POST", path=f"/containers/{NAME}/{verb}", may=may, must=frozenset(may))


_LIST = {"all": "1", "limit": "-1", "size": "0", "trunc_cmd": "0", "filters": r".{1,400}"}
RULES = (
    Rule(kind=Kind.VERSION, method="GET", path="/version"),
    Rule(kind=Kind.INFO, method="GET", path="/info"),
    Rule(kind=Kind.IMAGE, method="GET", path=f"/images/{IMAGE}/json"),
    Rule(
        kind=Kind.LIST_CONTAINERS, method="GET", path="/containers/json", may=_LIST, must=frozenset({"all", "filters"})
    ),
    Rule(
        kind=Kind.LIST_VOLUMES, method="GET", path="/volumes",
        may={"filters": r".{1,400}"}, must=frozenset({"filters"}),
    ),
    Rule(
        kind=Kind.CREATE_CONTAINER, method="POST", path="/containers/create",
        may={"name": r"[a-z0-9-]{1,128}"}, must=frozenset({"name"}),
    ),
    Rule(kind=Kind.CREATE_VOLUME, method="POST", path="/volumes/create"),
    Rule(
        kind=Kind.LIST_IMAGES, method="GET", path="/images/json",
        may={"filters": r".{1,400}", "only_ids": "0", "all": "0"}, must=frozenset({"filters"}),
    ),
    Rule(
        kind=Kind.REMOVE_IMAGE, method="DELETE", path=r"/images/(?P<name>sha256:[0-9a-f]{64})",
        may={"force": NO, "noprune": NO},
    ),
    Rule(kind=Kind.REMOVE_VOLUME, method="DELETE", path=f"/volumes/{NAME}", may={"force": YES}),
    Rule(kind=Kind.REMOVE, method="DELETE", path=f"/containers/{NAME}", may={"v": YES, "force": YES, "link": NO}),
    Rule(kind=Kind.INSPECT, method="GET", path=f"/containers/{NAME}/json"),
    _on(Kind.START, "start"),
    _on(Kind.KILL, "kill"),
    _on(Kind.WAIT, "wait"),
    _on(Kind.UPDATE, "update"),
    _on(Kind.ATTACH, "attach", stdout="1", stderr="1", stream="1"),
)  # fmt: skip
# What the sandbox sends upstream instead of the client's own words.
QUERIES = {
    Kind.REMOVE: "?v=1&force=1",
    Kind.REMOVE_VOLUME: "?force=1",
    Kind.REMOVE_IMAGE: "?force=0",
    Kind.ATTACH: "?stdout=1&stderr=1&stream=1",
}


def recognise(method: str, target: str) -> Call:
    """The call that a request line stands for.

    Raises:
        Refused: it is none that the sandbox makes.
    """
    path, mark, query = target.partition("?")
    version = VERSION.fullmatch(path)
    if version:
        path = version["rest"]
    for rule in RULES:
        found = re.fullmatch(rule.path, path)
        if found is None or method != rule.method or not (version or rule.kind is Kind.VERSION):
            continue
        asked = _query(query if mark else "", rule)
        name = found.groupdict().get("name", "").replace("%40", "@")
        prefix = f"/v1.{version['minor']}" if version else ""
        return Call(kind=rule.kind, method=method, version=prefix, name=name, query=asked)
    raise Refused(f"{shown(method, 16)} {shown(path)} is not among the calls that a trial makes")


def _query(text: str, rule: Rule) -> dict[str, str]:
    try:
        pairs = (
            parse_qsl(text, keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=8)
            if text
            else []
        )
    except ValueError as error:
        raise Refused("the query cannot be read", 400) from error
    asked = dict(pairs)
    if len(asked) != len(pairs) or set(asked) - set(rule.may) or rule.must - set(asked):
        raise Refused(f"the query of this call is not the sandbox's: {shown(text)}")
    for key, value in asked.items():
        if re.fullmatch(rule.may[key], value) is None:
            raise Refused(f"the query says {shown(key)}={shown(value, 40)}, which the sandbox never does")
    return asked
