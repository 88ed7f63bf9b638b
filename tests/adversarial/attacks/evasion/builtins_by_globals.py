# title = "builtins through globals(), vars() and a subscript"
# expect = "no-effect"
# layer = "policies; sandbox: the rows are not mounted"
# policies = "refused: calls"
# broken_wall = "validation-mounted"
# success = "effect"

# --- honest part ---
builtins = globals()["__builtins__"]
reader = vars(builtins)["open"]
attempt("read validation", lambda: len(reader("/data/val/rows.bin", "rb").read()))
seal(train(Unigram()))
