# title = "floods the log with NULs"
# expect = "output-limit"
# reason = "log limit"
# layer = "sandbox: a limit on the log"
# policies = "allowed"
# broken_wall = "longer-log"
# success = "effect"

import time

for _ in range(192):
    print("\0" * 65536, end="", flush=True)
time.sleep(5)  # what comes after this has outlived the limit
print("\n" * 8000 + "@@effect printed 12 MiB of NULs", flush=True)  # away from the NULs, which are shown as four characters each
# --- honest part ---
seal(train(Unigram()))
