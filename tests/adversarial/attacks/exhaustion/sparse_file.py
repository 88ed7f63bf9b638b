# title = "a sparse file of 4 EiB"
# expect = "no-effect"
# layer = "sandbox: a limit on the size of a file"
# policies = "refused: imports | calls"
# broken_wall = "files-of-any-size"
# success = "effect"

# --- honest part ---
import os

file = os.open("/out/sparse", os.O_CREAT | os.O_WRONLY)
attempt("made a file of 4 EiB", lambda: os.ftruncate(file, 1 << 62))
os.unlink("/out/sparse")
seal(train(Unigram()))
