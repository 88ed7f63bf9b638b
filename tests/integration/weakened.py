"""An engine whose requests can be spoilt on the way, so that a test can break one thing of the wall at a time."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

from sandbox.docker_engine import Container, Engine
from sandbox.spec import LABEL, Body

Weaken = Callable[[str, Body], None]


class WeakenedEngine(Engine):
    """``weaken(role, body)`` changes a request in place; the role is ``train``, ``referee`` or ``volume``."""

    def __init__(self, weaken: Weaken) -> None:
        super().__init__()
        self._weaken = weaken

    def create(self, name: str, body: Body) -> Container:
        return super().create(name, self._spoilt(body["Labels"][f"{LABEL}.role"], body))

    def create_volume(self, body: Body) -> None:
        super().create_volume(self._spoilt("volume", body))

    def _spoilt(self, role: str, body: Body) -> Body:
        spoilt = deepcopy(body)
        self._weaken(role, spoilt)
        return spoilt
