"""What a program finds when it tries the wall from inside.

The modules of this folder are one program, shipped into the containers as text; the host never runs them. Standard
library only. One line of JSON for each fact, ``{"fact": name, "seen": text}``: what it should say is the host's
business (:mod:`sandbox.assertions`). What may have an effect is tried in a child process.
"""

from __future__ import annotations

from pathlib import Path

PARTS = ("attempt", "calls", "places", "limits")


def program(role: str, memory_bytes: int) -> bytes:
    """The parts joined, without their imports of one another, and the call that starts them."""
    lines = ["from __future__ import annotations"]
    for part in PARTS:
        source = Path(__file__).with_name(f"{part}.py").read_text(encoding="utf-8")
        lines += [line for line in source.splitlines() if not line.startswith(("from sandbox.", "from __future__"))]
    return "\n".join([*lines, f"main({memory_bytes}, {role!r})", ""]).encode()
