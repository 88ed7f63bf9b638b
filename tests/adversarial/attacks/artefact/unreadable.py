# title = "weights that the referee may not read"
# expect = "invalid"
# reason = "cannot be opened"
# layer = "referee: the candidate's fault, not the service's"
# policies = "refused: imports | calls"
# broken_wall = "trusting-files"
# success = "fault"

# --- honest part ---
import os

seal(train(Unigram()))
os.chmod("/out/model.safetensors", 0)
