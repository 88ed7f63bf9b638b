"""The report as one HTML file: nothing is loaded from anywhere, nothing in it can run, and it prints well."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from importlib.resources import files

from daemon.report import words
from daemon.report.staircase import staircase
from daemon.report.values import Report


def page(report: Report) -> str:
    """The whole file. Every text is escaped by the template; the style is allowed by its hash and nothing else is."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    folder = files("daemon").joinpath("templates")
    style = folder.joinpath("report.css").read_text(encoding="utf-8")
    digest = b64encode(hashlib.sha256(style.encode()).digest()).decode()
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(folder.joinpath("report.html").read_text(encoding="utf-8"))
    before = None if any(kept.gain_bpb is None for kept in report.kept) else report.headline.before_bpb
    return template.render(
        report=report,
        words=words,
        policy=f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'",
        style=Markup(style),  # noqa: S704 - our own file
        picture=Markup(staircase(report.rows, before)),  # noqa: S704 - escapes what it quotes
    )
