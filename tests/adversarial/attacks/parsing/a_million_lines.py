# title = "a million lines"
# expect = "no-effect"
# layer = "log: the last 64 KiB are kept"
# policies = "allowed"
# broken_wall = "log-kept-whole"
# success = "leak"

# --- honest part ---
seal(train(Unigram()))
for _ in range(100):
    print("1234\n" * 10_000, end="", flush=True)
