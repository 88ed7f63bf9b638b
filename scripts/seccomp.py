#!/usr/bin/env python3
"""Make sandbox/seccomp/profile.json from sandbox/seccomp/syscalls.toml; --check only compares."""

from __future__ import annotations

import argparse
import json
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[1] / "sandbox" / "seccomp"
ARCHITECTURES = ("SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64")
KEYS = {"name", "reason", "calls", "only", "argument", "errno"}

Rule = dict[str, Any]


def profile(groups: list[dict[str, Any]]) -> Rule:
    """The profile in the form of the engine's own: refuse, but for what the groups allow."""
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        # Native only. Whatever else a program tries (int 0x80, x32) is none of these, and kills it.
        "archMap": [{"architecture": architecture, "subArchitectures": []} for architecture in ARCHITECTURES],
        "syscalls": [rule for group in groups for rule in rules(group)],
    }


def rules(group: dict[str, Any]) -> Iterator[Rule]:
    """One rule a group, or one for each value that an argument may have."""
    if unknown := group.keys() - KEYS:
        raise ValueError(f"group {group['name']!r}: unknown key {sorted(unknown)[0]!r}")
    rule: Rule = {"names": sorted(group["calls"]), "action": "SCMP_ACT_ALLOW"}
    if "errno" in group:
        rule |= {"action": "SCMP_ACT_ERRNO", "errnoRet": group["errno"]}
    if "only" in group:
        rule["includes"] = {"arches": [group["only"]]}
    for arguments in conditions(group.get("argument")):
        yield {**rule, **arguments}


def conditions(argument: dict[str, Any] | None) -> Iterator[Rule]:
    if argument is None:
        yield {}
    elif "without" in argument:
        mask = {"index": argument["index"], "value": argument["without"], "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}
        yield {"args": [mask]}
    else:
        for value in argument["equals"]:
            yield {"args": [{"index": argument["index"], "value": value, "op": "SCMP_CMP_EQ"}]}


def generate() -> str:
    """The text of profile.json."""
    groups = tomllib.loads((FOLDER / "syscalls.toml").read_text(encoding="ascii"))["group"]
    names = [name for group in groups for name in group["calls"]]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"named twice: {', '.join(twice)}")
    return json.dumps(profile(groups), indent=1) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when profile.json is out of date")
    target, text = FOLDER / "profile.json", generate()
    if not parser.parse_args().check:
        target.write_text(text, encoding="ascii")
        return 0
    current = target.is_file() and target.read_text(encoding="ascii") == text
    if not current:
        print("sandbox/seccomp/profile.json is out of date: run scripts/seccomp.py", file=sys.stderr)
    return 0 if current else 1


if __name__ == "__main__":
    sys.exit(main())
