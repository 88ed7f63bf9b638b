# title = "floods the log with one endless line"
# expect = "output-limit"
# reason = "log limit"
# layer = "sandbox: a limit on the log"
# policies = "allowed"
# broken_wall = "longer-log"
# success = "effect"

for _ in range(960):
    print("x" * 65536, end="", flush=True)
print("\n@@effect printed a line of 60 MiB", flush=True)
# --- honest part ---
seal(train(Unigram()))
