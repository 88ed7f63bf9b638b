# title = "eval"
# expect = "no-effect"
# layer = "policies; sandbox: the rows are not mounted"
# policies = "refused: calls"
# broken_wall = "validation-mounted"
# success = "effect"

# --- honest part ---
attempt("read validation", lambda: eval("len(op" + "en('/data/val/rows.bin', 'rb').read())"))
seal(train(Unigram()))
