# title = "floods the log with NULs"
# expect = "output-limit"
# reason = "log limit"
# layer = "sandbox: a limit on the log"
# policies = "allowed"
# broken_wall = "longer-log"
# success = "effect"

for _ in range(192):
    print("\0" * 65536, end="", flush=True)
print("\n@@effect printed 12 MiB of NULs", flush=True)
# --- honest part ---
seal(train(Unigram()))
