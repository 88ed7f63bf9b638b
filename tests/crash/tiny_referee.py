"""Stands in for the referee: waits at the gate as it does, reads the number that a program left, and scores that."""

import json
import os
import sys
import time

REFUSED = {"version": 1, "status": "invalid", "reason": "no number", "referee_sha256": "0" * 64}
AUDIT = {
    "level": "normal", "rows": 1, "cuts": 1, "moved": 0, "allowed": 0, "prefix_cells": 1, "prefix_moved": 0,
    "max_abs_nats": 0.0, "mean_abs_nats": 0.0, "mean_signed_nats": 0.0, "corrected_error_bpb": 0.0,
    "slack_bpb": 0.0, "fraction": 0.01, "escape_probability": 0.9, "caught_fraction": 0.1, "power": "none",
}  # fmt: skip


def main() -> None:
    options = dict(zip(sys.argv[1::2], sys.argv[2::2], strict=False))
    while not os.path.exists(os.path.join(options["--gate"], "open")):
        time.sleep(0.01)
    with open(os.path.join(options["--data"], options["--split"], "index.json")) as file:
        file.read()  # as the referee reads its tokens
    try:
        with open(os.path.join(options["--sealed"], "number")) as file:
            number = int(file.read())
    except (OSError, ValueError):
        print(json.dumps(REFUSED), flush=True)
        return
    bpb = 100 - number * 0.01 if number % 3 == 0 else 101.0  # better than all before by more than noise
    print(json.dumps({
        "version": 1, "status": "ok", "val_bpb": bpb, "tokens": 1, "bytes": 1, "rows": 1,
        "audit": AUDIT | {"corrected_bpb": bpb}, "load_seconds": 0.0, "audit_seconds": 0.0, "score_seconds": 0.0,
        "confirm_seconds": 0.0, "nodes": 1, "parameters": 1, "device": "cpu", "sealed_sha256": "0" * 64,
        "kept": None, "referee_sha256": "0" * 64,
    }), flush=True)  # fmt: skip


main()
