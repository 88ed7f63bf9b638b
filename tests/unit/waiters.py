"""A process that stands in the line again and again: run as a script, as a user of its own."""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from specs import a_spec

from daemon import slots
from daemon.line import Claim, Line
from daemon.observe import Event, Observers
from daemon.slots import Turns, Waiting
from sandbox.interface import Limits


@dataclass
class Teller:
    """Writes what happens to one file that all processes append to, in one write a line."""

    log: int
    name: str

    def say(self, what: str, **more: object) -> None:
        os.write(self.log, json.dumps({"who": self.name, "what": what, **more}).encode() + b"\n")

    def notify(self, event: Event) -> None:
        self.say(type(event).__name__, reason=getattr(event, "reason", ""))


class ToldLine(Line):
    """Says which place it took, and when it was left."""

    teller: Teller

    def enter(self, claim: Claim):  # type: ignore[no-untyped-def]
        place = super().enter(claim)
        self.teller.say("enter", place=place.name)
        take = place.take

        def taking() -> None:
            take()
            self.teller.say("take", place=place.name)

        place.take = taking  # type: ignore[method-assign]
        return place


def main() -> None:
    asked = json.loads(sys.argv[1])
    log = os.open(asked["log"], os.O_WRONLY | os.O_APPEND)
    teller = Teller(log, asked["name"])
    if uid := asked.get("uid"):
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    slots.POLL_SECONDS = 0.005
    line = ToldLine(Path(asked["folder"]), asked.get("total", 2**40), lambda _claim: asked.get("orphaned", False))
    line.teller = teller
    limits = Limits(
        cpus=tuple(asked.get("cores", [0])), idle_cpus=(), memory_bytes=asked.get("memory", 1), output_bytes=0
    )
    spec = a_spec(limits=limits, lab_id=asked["name"], gpu=asked.get("gpu"))
    turns = Turns(line, name=asked["name"])
    for _ in range(asked.get("rounds", 1)):
        with turns.held(spec, Waiting(gives_up=lambda: False, observers=Observers([teller]))):
            teller.say("begin")
            time.sleep(asked.get("seconds", 0.01))
            teller.say("end")
    os.close(log)


if __name__ == "__main__":
    main()
