# title = "kills the first process of its container"
# expect = "crash"
# reason = "SIGTERM"
# layer = "sandbox: it harms itself alone"
# policies = "refused: imports | calls"
# broken_wall = "judged-by-exit-code"
# success = "timeout"

# --- honest part ---
import os
import time

seal(train(Unigram()))
os.kill(1, 15)
time.sleep(60)
