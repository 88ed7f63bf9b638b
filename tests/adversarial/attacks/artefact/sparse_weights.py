# title = "weights with a hole of 30 MiB"
# expect = "invalid"
# reason = "sparse"
# layer = "referee: fully allocated files only"
# policies = "refused: imports | calls"
# broken_wall = "trusting-files"
# success = "invalid: does not end"

# --- honest part ---
import os

seal(train(Unigram()))
os.truncate("/out/model.safetensors", 30 << 20)
