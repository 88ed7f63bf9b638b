# title = "a hard link in place of the graph, which can be changed by its other name"
# expect = "invalid"
# reason = "hard links"
# layer = "referee: one name a file"
# policies = "refused: imports | calls"
# broken_wall = "trusting-files"
# success = "accepted"

# --- honest part ---
import os

seal(train(Unigram()))
os.link("/out/model.json", "/out/other-name.json")
