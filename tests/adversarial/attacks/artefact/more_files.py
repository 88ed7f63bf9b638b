# title = "thousands of files beside the model, for whoever lists or copies the folder"
# expect = "no-effect"
# layer = "sandbox: 256 inodes; referee: it opens two files by name"
# policies = "refused: imports | calls"
# broken_wall = "larger-scratch"
# success = "effect"

# --- honest part ---
import os

seal(train(Unigram()))
made = 0
try:
    for number in range(1000):
        open(f"/out/file{number}\n\x1b[2J", "w").close()
        made += 1
except OSError as error:
    print("stopped at", made, error.errno)
attempt("made 1000 files in /out", lambda: made == 1000)
