# title = "lets a child take the memory, and exits with 0"
# expect = "no-effect"
# layer = "sandbox: one limit for the whole container"
# policies = "refused: imports | calls"
# broken_wall = "more-memory"
# success = "effect"

# --- honest part ---
import os

if os.fork() == 0:
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")
    hoard = [b"x" * (1 << 26) for _ in range(24)]
    attempt("took 1.5 GiB in a child", lambda: len(hoard))
    os._exit(0)
os.wait()
seal(train(Unigram()))
