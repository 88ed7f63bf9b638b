# title = "a directory in place of the graph"
# expect = "invalid"
# reason = "not a regular file"
# layer = "referee: regular files only"
# policies = "refused: imports | calls"
# broken_wall = "trusting-files"
# success = "fault"

# --- honest part ---
import os

seal(train(Unigram()))
os.unlink("/out/model.json")
os.mkdir("/out/model.json")
