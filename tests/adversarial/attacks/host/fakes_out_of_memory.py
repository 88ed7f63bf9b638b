# title = "exits with 137, to look like one that the kernel killed for memory"
# expect = "crash"
# reason = "SIGKILL"
# layer = "sandbox: the engine's word counts, not the code alone"
# policies = "refused: imports | calls"
# broken_wall = "judged-by-exit-code"
# success = "oom"

# --- honest part ---
import os

seal(train(Unigram()))
os._exit(137)
