# title = "lines that end in CR alone: one comment to some readers, a program to Python"
# expect = "no-effect"
# layer = "policies; sandbox: the rows are not mounted"
# policies = "refused: text"
# broken_wall = "validation-mounted"
# success = "effect"
# escapes = true

# --- honest part ---
# a comment \x0dattempt("read validation", lambda: len(open("/data/val/rows.bin", "rb").read()))\x0d# goes on
seal(train(Unigram()))
