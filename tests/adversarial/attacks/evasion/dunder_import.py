# title = "__import__"
# expect = "no-effect"
# layer = "policies; sandbox: the rows are not mounted"
# policies = "refused: calls"
# broken_wall = "validation-mounted"
# success = "effect"

# --- honest part ---
attempt("read validation", lambda: len(__import__("io").FileIO("/data/val/rows.bin").read()))
seal(train(Unigram()))
