"""From a call and its body to the request that the engine gets; what needs the engine's word is looked up first."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

from sandbox.image import CONTENTS_LABEL, STAGE_LABEL
from sandbox.proxy import bodies, places
from sandbox.proxy.allow import Allow
from sandbox.proxy.calls import NAMED_CONTAINER, QUERIES, WITH_BODY, Call, Kind
from sandbox.proxy.refusal import Refused, shown
from sandbox.proxy.strict_json import canonical, parse_object
from sandbox.proxy.upstream import Request, Upstream
from sandbox.spec import LABEL, PROJECT

LEFTOVERS = (CONTENTS_LABEL, STAGE_LABEL)
LISTS = {
    Kind.LIST_VOLUMES: "/volumes?",
    Kind.LIST_CONTAINERS: "/containers/json?all=1&",
    Kind.LIST_IMAGES: "/images/json?",
}
_FULL_ID = re.compile(r"[0-9a-f]{64}")


class Guard:
    """Decides for one lab."""

    def __init__(self, allow: Allow, upstream: Upstream) -> None:
        self._allow = allow
        self._upstream = upstream
        self._creating = asyncio.Lock()
        self._labels = {f"{LABEL}.project": PROJECT, f"{LABEL}.lab": allow.lab.id}

    @asynccontextmanager
    async def permitted(self, call: Call, raw: bytes) -> AsyncIterator[Request]:
        """The request to send. Creates go one at a time, so that they can be counted.

        Raises:
            Refused: the call or its body is not a trial's.
        """
        if raw and call.kind not in WITH_BODY:
            raise Refused("this call has no body", 400)
        if call.kind in (Kind.CREATE_CONTAINER, Kind.CREATE_VOLUME):
            async with self._creating:
                yield await self._create(call, parse_object(raw))
        else:
            yield await self._other(call, raw)

    async def _create(self, call: Call, body: Mapping[str, Any]) -> Request:
        if call.kind is Kind.CREATE_VOLUME:
            checked = bodies.volume(body, self._allow)
            listed = await self._listed(call, "/volumes?", dict)
            have = len(listed.get("Volumes") or [])
            target = f"{call.version}/volumes/create"
        else:
            checked = bodies.container(body, call.query["name"], self._allow)
            places.check(checked.sources)
            if checked.volume:
                await self._check_volume(call, checked.volume)
            await self._check_image(call, checked.image)
            have = len(await self._listed(call, "/containers/json?all=1&", list))
            target = f"{call.version}/containers/create?name={checked.name}"
        if have >= self._allow.most.containers:
            raise Refused(f"the lab has {have} of them, and the allow file permits {self._allow.most.containers}")
        return Request(method="POST", target=target, body=canonical(checked.body))

    async def _other(self, call: Call, raw: bytes) -> Request:
        query = QUERIES.get(call.kind, "")
        if call.kind in NAMED_CONTAINER:
            found = await self._own(call, f"/containers/{call.name}/json")
            return self._on_container(call, found, raw, query)
        path = {Kind.VERSION: "/version", Kind.INFO: "/info"}.get(call.kind)
        if call.kind is Kind.IMAGE:
            if call.name not in self._allow.images:
                raise Refused(f"the image {shown(call.name, 60)} is not in the allow file")
            path = f"/images/{quote(call.name, safe='/:')}/json"
        elif call.kind is Kind.REMOVE_VOLUME:
            await self._own(call, f"/volumes/{call.name}")
            path = f"/volumes/{call.name}"
        elif call.kind is Kind.REMOVE_IMAGE:
            await self._check_leftover(call)
            path = f"/images/{call.name}"
        elif call.kind in LISTS:
            path, query = LISTS[call.kind], _written(self._permitted_filters(call))
        return Request(method=call.method, target=f"{call.version}{path}{query}")

    def _on_container(self, call: Call, found: Mapping[str, Any], raw: bytes, query: str) -> Request:
        if call.kind is Kind.START:
            # A second look, since it is now that the engine mounts them.
            mounts = (found.get("HostConfig") or {}).get("Mounts") or []
            places.check(mount["Source"] for mount in mounts if mount["Type"] == "bind")
        verb = {Kind.REMOVE: "", Kind.INSPECT: "/json"}.get(call.kind, f"/{call.kind}")
        # By the full id: a name could come to mean another container between the look and the call.
        return Request(
            method=call.method,
            target=f"{call.version}/containers/{found['Id']}{verb}{query}",
            body=canonical(bodies.update(parse_object(raw), self._allow)) if call.kind is Kind.UPDATE else None,
            is_stream=call.kind is Kind.ATTACH,
            takes_long=call.kind in (Kind.ATTACH, Kind.WAIT),
        )

    async def _own(self, call: Call, path: str) -> dict[str, Any]:
        """What the engine says of a container or volume, which must be this lab's."""
        status, found = await self._upstream.look_up(call.version + path)
        if status == 404:
            raise Refused(f"No such container or volume: {shown(call.name)}", 404)
        if status != 200 or not isinstance(found, dict):
            raise Refused("the engine could not say whose that is", 502)
        labels = (found.get("Config") or {}).get("Labels") if "Config" in found else found.get("Labels")
        if not self._is_ours(labels) or ("Config" in found and _FULL_ID.fullmatch(str(found.get("Id"))) is None):
            raise Refused(f"{shown(call.name)} is not this lab's")
        return found

    def _is_ours(self, labels: Mapping[str, str] | None) -> bool:
        return all((labels or {}).get(name) == value for name, value in self._labels.items())

    async def _check_volume(self, call: Call, name: str) -> None:
        """It must be there: one that is not, the engine makes by itself, on its disk and without a bound."""
        found = await self._own(call, f"/volumes/{name}")
        if (found.get("Options") or {}).get("type") != "tmpfs":
            raise Refused(f"the volume {shown(name)} is no tmpfs")

    async def _check_image(self, call: Call, reference: str) -> None:
        status, found = await self._upstream.look_up(f"{call.version}/images/{quote(reference, safe='/:')}/json")
        labels = ((found or {}).get("Config") or {}).get("Labels") or {}
        if status == 404:
            raise Refused(f"No such image: {shown(reference)}", 404)
        if status != 200 or CONTENTS_LABEL not in labels:
            raise Refused(f"the image {shown(reference, 60)} was not built by this project")

    async def _listed(self, call: Call, path: str, kind: type) -> Any:
        status, found = await self._upstream.look_up(call.version + path + self._filters())
        if status != 200 or not isinstance(found, kind):
            raise Refused("the engine could not list what the lab has", 502)
        return found

    async def _check_leftover(self, call: Call) -> None:
        """An image of ours without a name; one with a name is in use, and another's is not ours to remove."""
        status, found = await self._upstream.look_up(f"{call.version}/images/{call.name}/json")
        if status == 404:
            raise Refused(f"No such image: {shown(call.name)}", 404)
        if status != 200 or not isinstance(found, dict) or found.get("Id") != call.name:
            raise Refused("the engine could not say what that image is", 502)
        labels = (found.get("Config") or {}).get("Labels") or {}
        if not {*labels} & {*LEFTOVERS} or found.get("RepoTags") or found.get("RepoDigests"):
            raise Refused(f"the image {shown(call.name, 80)} is no nameless leftover of this project")

    def _filters(self) -> str:
        return _written({"label": self._own_labels()})

    def _own_labels(self) -> list[str]:
        return [f"{name}={value}" for name, value in self._labels.items()]

    def _permitted_filters(self, call: Call) -> dict[str, list[str]]:
        """The filters of a list, where they are the sandbox's; another question is refused, not answered in part."""
        own = self._own_labels()
        may: list[dict[str, list[str]]] = [{"label": own}]
        if call.kind is Kind.LIST_VOLUMES:
            may.append({"label": own, "dangling": ["true"]})
        if call.kind is Kind.LIST_IMAGES:
            may = [{"label": [label], "dangling": ["true"]} for label in LEFTOVERS]
        wanted = parse_object(call.query["filters"].encode("utf-8"))
        if wanted not in may:
            raise Refused("the list may be of this lab's things, and of nameless images of this project, alone")
        return next(one for one in may if one == wanted)


def _written(filters: Mapping[str, list[str]]) -> str:
    return "filters=" + quote(canonical(filters), safe="")
