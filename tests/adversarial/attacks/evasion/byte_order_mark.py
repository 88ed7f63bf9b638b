# title = "a byte order mark before the program"
# expect = "no-effect"
# layer = "policies; sandbox: the same program"
# policies = "refused: text"
# broken_wall = "none: Python skips it, and so does everybody; it is refused because readers differ"
# escapes = true

\xef\xbb\xbf# --- honest part ---
seal(train(Unigram()))
