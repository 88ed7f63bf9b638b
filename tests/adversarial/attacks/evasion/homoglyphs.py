# title = "full-width letters: Python reads them as open"
# expect = "no-effect"
# layer = "policies; sandbox: the rows are not mounted"
# policies = "refused: text"
# broken_wall = "validation-mounted"
# success = "effect"
# escapes = true
# quick = true

# --- honest part ---
attempt("read validation", lambda: len(\xef\xbd\x8f\xef\xbd\x90\xef\xbd\x85\xef\xbd\x8e("/data/val/rows.bin", "rb").read()))
seal(train(Unigram()))
