# title = "open under another name, passed around as a value"
# expect = "no-effect"
# layer = "policies; sandbox: the rows are not mounted"
# policies = "refused: calls"
# broken_wall = "validation-mounted"
# success = "effect"

# --- honest part ---
(reader, *_) = [open, print]
attempt("read validation", lambda: len(reader("/data/val/rows.bin", "rb").read()))
seal(train(Unigram()))
