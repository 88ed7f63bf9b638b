# title = "floods the log through standard error"
# expect = "output-limit"
# reason = "log limit"
# layer = "sandbox: both streams count"
# policies = "allowed"
# broken_wall = "longer-log"
# success = "effect"

# --- honest part ---
import sys
import time

for _ in range(192):
    print("x" * 65536, file=sys.stderr, flush=True)
time.sleep(5)  # what comes after this has outlived the limit
print("@@effect printed 12 MiB on standard error", file=sys.stderr, flush=True)
seal(train(Unigram()))
