# title = "takes more memory than it may"
# expect = "oom"
# reason = "memory"
# layer = "sandbox: a limit on memory, no swap"
# policies = "allowed"
# broken_wall = "more-memory"
# success = "effect"
# quick = true

# --- honest part ---
hoard = [torch.ones(1 << 24) for _ in range(24)]  # 1.5 GiB
attempt("took 1.5 GiB", lambda: len(hoard))
hoard.clear()
seal(train(Unigram()))
