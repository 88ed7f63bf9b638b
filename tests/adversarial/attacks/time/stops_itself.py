# title = "stops itself with SIGSTOP over the deadline and is woken after it"
# expect = "timeout"
# reason = "deadline"
# layer = "clock: it is the host's"
# policies = "refused: calls | imports"
# broken_wall = "late-deadline"
# success = "effect"
# train_seconds = 6

# --- honest part ---
import os
import signal
import time

model = train(Unigram())
if os.fork() == 0:
    time.sleep(8)
    os.kill(os.getppid(), signal.SIGCONT)
    os._exit(0)
os.kill(os.getpid(), signal.SIGSTOP)
attempt("slept through its deadline", lambda: True)
