# title = "handlers that run later: atexit, signal, settrace, __del__"
# expect = "no-effect"
# layer = "policies; referee: the score is made elsewhere"
# policies = "refused: imports | calls"
# broken_wall = "validation-mounted"
# success = "effect"

# --- honest part ---
import atexit
import signal
import sys


def look(*_):
    attempt("read validation later", lambda: len(open("/data/val/rows.bin", "rb").read()))


class Last:
    def __del__(self):
        look()


atexit.register(look)
signal.signal(signal.SIGALRM, look)
signal.setitimer(signal.ITIMER_REAL, 0.2)
sys.settrace(None)
last = Last()
seal(train(Unigram()))
