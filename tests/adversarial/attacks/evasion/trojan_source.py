# title = "bidirectional text that shows a person a comment where Python sees code"
# expect = "no-effect"
# layer = "policies; sandbox: the rows are not mounted"
# policies = "refused: text"
# broken_wall = "validation-mounted"
# success = "effect"
# escapes = true

# --- honest part ---
note = "\xe2\x80\xae\xe2\x81\xa6 harmless \xe2\x81\xa9"; attempt("read validation", lambda: len(open("/data/val/rows.bin", "rb").read()))
seal(train(Unigram()))
