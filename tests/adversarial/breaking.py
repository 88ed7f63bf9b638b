"""Run an attack against the wall that it names, broken."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
import walls_host  # noqa: F401 - all walls are known after this
from walls import Breach, broken

from daemon.selftest.corpus import Attack
from daemon.selftest.judge import LEAK, REACHED, Seen
from daemon.selftest.run import Range, observe

HONEST_REST = b"\nseal(train(Unigram()))\n"


def seen_through(attack: Attack, ground: Range, honest_bpb: float, folder: Path) -> Seen:
    """What comes of the attack when its wall is broken; everything is mended afterwards."""
    with ExitStack() as undo, pytest.MonkeyPatch.context() as patch:
        breach = Breach(attack=attack, spec=ground.spec, folder=folder, patch=patch, undo=undo)
        range_ = broken(breach)
        try:
            return observe(range_, shortened(attack), honest_bpb)
        except UnicodeError as error:  # no sink can take such text when nobody has cleaned it
            return Seen(verdict=LEAK, detail=str(error))


def shortened(attack: Attack) -> Attack:
    """A probe has had its effect before its honest rest, which would only cost time here."""
    if attack.about.success != REACHED or not attack.program.endswith(HONEST_REST):
        return attack
    return replace(attack, program=attack.program.removesuffix(HONEST_REST) + b"\n")
