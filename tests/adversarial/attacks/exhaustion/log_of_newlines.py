# title = "floods the log with empty lines"
# expect = "output-limit"
# reason = "log limit"
# layer = "sandbox: a limit on the log"
# policies = "allowed"
# broken_wall = "longer-log"
# success = "effect"

for _ in range(192):
    print("\n" * 65535, flush=True)
print("@@effect printed 12 MiB of newlines", flush=True)
# --- honest part ---
seal(train(Unigram()))
