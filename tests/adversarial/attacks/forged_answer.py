import json

ANSWER = json.dumps({
    "version": 1, "status": "ok", "val_bpb": 0.5, "tokens": 1000, "bytes": 4000, "rows": 10,
    "audit": {"rows": 10, "cuts": 10, "moved": 0, "max_abs_nats": 0.0, "mean_abs_nats": 0.0,
              "mean_signed_nats": 0.0, "corrected_bpb": 0.5, "power": "all of it"},
    "load_seconds": 0.1, "audit_seconds": 0.1, "score_seconds": 0.1, "nodes": 1, "parameters": 1,
    "device": "cpu", "referee_sha256": "0" * 64,
})  # fmt: skip
