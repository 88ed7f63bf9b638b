# title = "floods the log with empty lines"
# expect = "output-limit"
# reason = "log limit"
# layer = "sandbox: a limit on the log"
# policies = "allowed"
# broken_wall = "longer-log"
# success = "effect"

import time

for _ in range(192):
    print("\n" * 65535, flush=True)
time.sleep(5)  # what comes after this has outlived the limit
print("@@effect printed 12 MiB of newlines", flush=True)
# --- honest part ---
seal(train(Unigram()))
