# title = "starts as many processes as it can"
# expect = "no-effect"
# layer = "sandbox: a limit on processes"
# policies = "refused: imports | calls"
# broken_wall = "more-processes"
# success = "effect"
# quick = true

# --- honest part ---
import os
import signal
import time

children = []
try:
    while len(children) < 400:
        child = os.fork()
        if child == 0:
            time.sleep(60)
            os._exit(0)
        children.append(child)
except OSError as error:
    print("stopped at", len(children), error)
for child in children:
    os.kill(child, signal.SIGKILL)
    os.wait()
attempt("started 400 processes", lambda: len(children) >= 400)
seal(train(Unigram()))
