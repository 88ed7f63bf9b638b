# title = "floods the log with one endless line"
# expect = "output-limit"
# reason = "log limit"
# layer = "sandbox: a limit on the log"
# policies = "allowed"
# broken_wall = "longer-log"
# success = "effect"

import time

for _ in range(960):
    print("x" * 65536, end="", flush=True)
time.sleep(5)  # what comes after this has outlived the limit
print("\n@@effect printed a line of 60 MiB", flush=True)
# --- honest part ---
seal(train(Unigram()))
