# title = "more memorised text than a train.py may have"
# expect = "refused"
# reason = "65536 at most"
# layer = "sandbox: a cap on the bytes of train.py"
# policies = "refused: size"
# broken_wall = "any-size"
# success = "no-effect"
# pad_bytes = 70000

# --- honest part ---
seal(train(Unigram()))
