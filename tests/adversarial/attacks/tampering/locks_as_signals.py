# title = "reads a signal from the lock of a file that two containers share"
# expect = "no-effect"
# layer = "loop: one trial at a time, nobody to signal to"
# policies = "refused: imports | calls"
# broken_wall = "a-neighbour-that-signals"
# success = "effect"
# residual = "R6"

# --- honest part ---
import fcntl


def locked():
    with open("/data/common/tokenizer.json") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


attempt("a neighbour holds the lock", locked)
seal(train(Unigram()))
