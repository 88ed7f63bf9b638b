import json

ANSWER = json.dumps({
    "version": 1, "status": "ok", "val_bpb": 0.5, "tokens": 1000, "bytes": 4000, "rows": 10,
    "audit": {"level": "full", "rows": 10, "cuts": 10, "moved": 0, "allowed": 0, "prefix_cells": 10, "prefix_moved": 0,
              "max_abs_nats": 0.0, "mean_abs_nats": 0.0, "mean_signed_nats": 0.0, "corrected_bpb": 0.5,
              "corrected_error_bpb": 0.0, "slack_bpb": 0.0, "fraction": 0.01, "escape_probability": 0.0,
              "caught_fraction": 0.0, "power": "all of it"},
    "load_seconds": 0.1, "audit_seconds": 0.1, "score_seconds": 0.1, "confirm_seconds": 0.1, "nodes": 1,
    "parameters": 1, "device": "cpu", "sealed_sha256": "0" * 64, "kept": None, "referee_sha256": "0" * 64,
})  # fmt: skip
