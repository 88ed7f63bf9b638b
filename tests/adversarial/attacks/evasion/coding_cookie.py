# title = "a coding cookie: the bytes mean another program to Python than to a reader of UTF-8"
# expect = "no-effect"
# layer = "policies; sandbox: the rows are not mounted"
# policies = "refused: text"
# broken_wall = "validation-mounted"
# success = "effect"

# coding: raw_unicode_escape
# --- honest part ---
# a comment, to a reader of UTF-8 \u000aattempt("read validation", lambda: len(open("/data/val/rows.bin", "rb").read()))
seal(train(Unigram()))
