"""The command ``autoresearch``: the composition root. Every verb is a few lines over the parts it names."""

from __future__ import annotations

import os
import sys
from importlib import import_module

from rich.console import Console

from daemon import credentials, logs
from daemon.cli.common import app
from daemon.model import OurFault, UserError
from daemon.text import clean
from sandbox.interface import Cancelled, SandboxUnavailable

MAX_MESSAGE_CHARACTERS = 2000
GROUPS = (
    "research",
    "service",
    "records",
    "watching",
    "judgement",
    "provenance",
    "machine",
)  # in the order of the help
for group in GROUPS:
    import_module(f"daemon.cli.{group}")  # adds its verbs


def main() -> None:
    """Entry point: a user's mistake is one sentence on stderr and a non-zero exit, never a traceback."""
    logs.configure()
    os.umask(os.umask(0o022) | 0o022)  # nothing that is made here may be written by others
    try:
        app(obj=credentials.withdraw())
    except (UserError, SandboxUnavailable) as error:
        _fail(str(error), 2)
    except OurFault as error:
        _fail(f"{error}. Nothing was lost; run the same command again when it is mended.", 1)
    except (Cancelled, KeyboardInterrupt):
        _fail("stopped; nothing was lost", 130)
    except BrokenPipeError:
        sys.exit(1)
    except OSError as error:
        _fail(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}", 1)


def _fail(message: str, code: int) -> None:
    text = f"autoresearch: {clean(message, MAX_MESSAGE_CHARACTERS)}"
    Console(stderr=True).print(text, markup=False, highlight=False, soft_wrap=True)
    sys.exit(code)
