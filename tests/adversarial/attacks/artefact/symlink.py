# title = "a symlink in place of the graph, to a file that only the referee can read"
# expect = "invalid"
# reason = "cannot be opened"
# layer = "referee: O_NOFOLLOW"
# policies = "refused: imports | calls"
# broken_wall = "trusting-files"
# success = "invalid: not JSON"

# --- honest part ---
import os

seal(train(Unigram()))
os.unlink("/out/model.json")
os.symlink("/data/val/rows.bin", "/out/model.json")
