"""The referee: verify a sealed model, score it, audit it, print one line of JSON.

    python -P -m autoresearch_guest.referee --sealed /out --data /data --split val --seq-len 256 --vocab-size 2048 \
        --audit-rows 430 [--audit-level normal|full] [--confirm-rows N] [--max-seconds S] [--memory-mib M] \
        [--keep /keep --keep-mib M] [--gate /gate] [--device cpu|cuda]

`--audit-level full` is for what is about to be kept: as many cuts as say something new (16 in every row, within a
quarter of a gigabyte of losses). `--keep` copies the very bytes that were judged into a directory of the host, after
an "ok" alone and, where the host wrote a number to confirm below, for a score below it; a later run scores them from
there: `--sealed /sealed --split holdout`. The holdout's answer carries one number, and its refusals no detail.

`--confirm-rows` audits a second time, with so many cuts, what scores below the number that the host may write beside
the gate (a file `confirm`): what could become the champion is looked at harder than what is thrown away.

Nothing heavy is imported before the gate opens: until then the cores belong to the training.
"""

import argparse
import hashlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from .errors import Fault, Invalid, sanitise

VERSION = 1
GATE_POLL_SECONDS = 0.05


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="referee", description="Score a sealed model; prints one line of JSON.")
    parser.add_argument("--sealed", type=Path, required=True, help="directory with model.json and model.safetensors")
    parser.add_argument("--data", type=Path, required=True, help="directory with common/ and the split")
    parser.add_argument("--split", choices=("val", "holdout"), default="val")
    parser.add_argument("--seq-len", type=int, required=True)
    parser.add_argument("--vocab-size", type=int, required=True)
    parser.add_argument("--audit-rows", type=int, required=True, metavar="N", help="number of secret cuts")
    parser.add_argument("--audit-level", choices=("normal", "full"), default="normal")
    parser.add_argument("--confirm-rows", type=int, default=0, metavar="N", help="cuts of a second audit; 0: none")
    parser.add_argument("--max-seconds", type=float, default=0, metavar="S", help="for everything after the gate")
    parser.add_argument("--memory-mib", type=int, default=0, metavar="M", help="private memory of a child; CPU only")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="copy the judged files there after an ok")
    parser.add_argument("--keep-mib", type=int, default=1024, metavar="M", help="largest model that may be kept")
    parser.add_argument("--gate", type=Path, help="wait until this directory holds a file named open")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    parser.set_defaults(confirm_below=None)  # the host writes it beside the gate
    options = parser.parse_args(arguments)
    if options.keep is not None and options.split == "holdout":
        parser.error("--keep goes with --split val: the holdout scores what is kept already")
    return options


def wait_for_gate(gate: Path | None) -> None:
    """Sleep until the host opens the gate; the host also ends a wait that lasts too long."""
    while gate is not None and not (gate / "open").exists():
        time.sleep(GATE_POLL_SECONDS)


def confirm_below(gate: Path | None) -> float | None:
    """The score below which a second audit is made, as the host wrote it before it opened the gate."""
    if gate is None or not (gate / "confirm").exists():
        return None
    return float((gate / "confirm").read_text(encoding="ascii"))


def own_sha256() -> str:
    """Hash of the guest's sources: the identity of the referee."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def judge(options: argparse.Namespace) -> tuple[dict[str, Any], int]:
    """Return the verdict and the exit code."""
    try:
        from . import score  # imports torch

        return {"status": "ok", **score.score(options)}, 0
    except Invalid as error:
        return {"status": "invalid", "reason": sanitise(str(error))}, 0
    except MemoryError:
        return {"status": "invalid", "reason": "the sealed model does not fit into memory"}, 0
    except Fault as error:
        return {"status": "fault", "reason": sanitise(str(error))}, 3
    except Exception as error:  # noqa: BLE001
        # What remains is a mistake of ours: it must reach the host as a fault, never as a verdict.
        return {"status": "fault", "reason": sanitise(f"{type(error).__name__}: {error}")}, 3


def main(arguments: list[str] | None = None) -> int:
    """Wait, judge, print exactly one line on the real standard output."""
    options = parse(arguments)
    sys.stdout.flush()
    stdout = os.dup(1)
    os.dup2(2, 1)  # libraries that print do so on stderr
    wait_for_gate(options.gate)
    options.confirm_below = confirm_below(options.gate)
    # Spinning threads on a core that is busy elsewhere are 20 times slower; read when torch loads its runtime.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what deterministic cuBLAS asks for
    verdict, code = judge(options)
    line = json.dumps({"version": VERSION, **verdict, "referee_sha256": own_sha256()}, allow_nan=False)
    with os.fdopen(stdout, "w", encoding="ascii") as out:
        out.write(line + "\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
