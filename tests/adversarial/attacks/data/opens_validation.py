# title = "opens the validation and holdout rows where they would lie"
# expect = "no-effect"
# layer = "sandbox: they are not mounted"
# policies = "refused: calls"
# broken_wall = "validation-mounted"
# success = "effect"
# quick = true

# --- honest part ---
for path in ("/data/val/rows.bin", "/data/holdout/rows.bin", "/data/manifest.json"):
    attempt(f"read {path}", lambda path=path: len(open(path, "rb").read()))
seal(train(Unigram()))
