"""A report in the form that was asked for, written to where it was asked for."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from daemon.files import write_atomically
from daemon.lab import Lab
from daemon.model import UserError
from daemon.report.gather import gather
from daemon.report.markdown import markdown
from daemon.report.values import Report

Form = Literal["html", "md", "json"]


def report(lab: Lab, since: str, now: datetime, form: Form, *, sigma_bpb: float | None = None) -> str:
    """The whole text.

    Raises:
        UserError: ``since`` cannot be understood, or there is nothing to report.
    """
    found = gather(lab, since, now, sigma_bpb=sigma_bpb)
    if form == "html":
        from daemon.report.page import page

        return page(found)
    return markdown(found) if form == "md" else json.dumps(facts(found), indent=2, ensure_ascii=False) + "\n"


def facts(found: Report) -> dict[str, Any]:
    """For programs. The experiments themselves are in ``autoresearch export``."""
    told = {**asdict(found), "arena": found.arena.fingerprint}
    told["headline"] |= {"gain_bpb": found.headline.gain_bpb, "gain_sigmas": found.headline.gain_sigmas}
    del told["rows"]
    return told


def written(text: str, out: Path) -> str:
    """Replace ``out`` and say so.

    Raises:
        UserError: there is no such folder.
    """
    if out.is_dir() or not out.parent.is_dir():
        raise UserError(f"{out} is a folder; name a file" if out.is_dir() else f"there is no folder {out.parent}")
    write_atomically(out, text.encode())
    return f"wrote {out}"
