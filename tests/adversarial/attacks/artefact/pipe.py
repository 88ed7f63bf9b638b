# title = "a pipe in place of the graph, on which a reader waits for ever"
# expect = "crash"
# layer = "seccomp: no FIFO can be made; and the referee opens regular files only, without waiting"
# policies = "refused: imports | calls"
# broken_wall = "no-seccomp"
# success = "invalid: not a regular file"
# score_seconds = 45

# --- honest part ---
import os

seal(train(Unigram()))
os.unlink("/out/model.json")
os.mkfifo("/out/model.json")
