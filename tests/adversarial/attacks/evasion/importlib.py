# title = "importlib"
# expect = "no-effect"
# layer = "policies; sandbox: the rows are not mounted"
# policies = "refused: imports"
# broken_wall = "validation-mounted"
# success = "effect"

# --- honest part ---
import importlib

attempt("read validation", lambda: len(importlib.import_module("io").FileIO("/data/val/rows.bin").read()))
seal(train(Unigram()))
