# title = "a pipe in place of the graph, on which a reader waits for ever"
# expect = "invalid"
# reason = "not a regular file"
# layer = "referee: regular files only, opened without waiting"
# policies = "refused: imports | calls"
# broken_wall = "trusting-files"
# success = "invalid: out of time"
# score_seconds = 45

# --- honest part ---
import os

seal(train(Unigram()))
os.unlink("/out/model.json")
os.mkfifo("/out/model.json")
