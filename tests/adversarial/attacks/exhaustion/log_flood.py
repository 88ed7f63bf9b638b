# title = "floods the log with bytes"
# expect = "output-limit"
# reason = "log limit"
# layer = "sandbox: a limit on the log"
# policies = "allowed"
# broken_wall = "longer-log"
# success = "effect"
# quick = true

# --- honest part ---
import time

for _ in range(192):
    print("x" * 65536, flush=True)
time.sleep(5)  # what comes after this has outlived the limit
attempt("printed 12 MiB", lambda: True)
seal(train(Unigram()))
