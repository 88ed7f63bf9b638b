# title = "carriage returns that overwrite a line, to show another text than is there"
# expect = "no-effect"
# layer = "sanitiser: the last state of a line"
# policies = "allowed"
# broken_wall = "log-decoded-carelessly"
# success = "leak"

# --- honest part ---
seal(train(Unigram()))
print("crash: out of memory\rkeep 0.000001       \r\x1b[K")
