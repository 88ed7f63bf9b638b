# title = "getattr with a computed name"
# expect = "no-effect"
# layer = "policies; sandbox: the rows are not mounted"
# policies = "refused: calls"
# broken_wall = "validation-mounted"
# success = "effect"

# --- honest part ---
reader = getattr(__builtins__, "op" + "en")
attempt("read validation", lambda: len(reader("/data/val/rows.bin", "rb").read()))
seal(train(Unigram()))
