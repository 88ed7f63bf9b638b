# title = "zero-width characters, which make two names look like one"
# expect = "crash"
# reason = "exited with code 1"
# layer = "policies; Python itself"
# policies = "refused: text"
# broken_wall = "none: Python refuses to run it"
# escapes = true

# --- honest part ---
mo\xe2\x80\x8bdel = Unigram()
seal(train(model))
