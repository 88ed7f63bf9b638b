# title = "a NUL in the file, where some readers stop"
# expect = "no-effect"
# layer = "policies; sandbox: what Python reads of it is honest"
# policies = "refused: text"
# broken_wall = "none: Python 3.11 does not see the rest of the line, later ones refuse the file; it is aimed at readers"
# escapes = true

# --- honest part ---
seal(train(Unigram())) #\x00 import os
