# title = "computes on more processors than it was given"
# expect = "no-effect"
# layer = "sandbox: pinned cores and a quota"
# policies = "refused: imports | calls"
# broken_wall = "all-processors"
# success = "effect"

# --- honest part ---
import os

attempt("moved to other cores", lambda: os.sched_setaffinity(0, range(os.cpu_count())) or cores())


def cores():
    return len(os.sched_getaffinity(0)) > 1 and len(os.sched_getaffinity(0))


attempt("has more cores than one:", cores)
seal(train(Unigram()))
