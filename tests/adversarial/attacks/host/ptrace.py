# title = "traces another process of its container"
# expect = "no-effect"
# layer = "seccomp"
# policies = "refused: imports | calls"
# broken_wall = "no-seccomp"
# success = "effect"

# --- honest part ---
# --- system calls ---
if os.fork() == 0:
    attempt("may be traced", lambda: system_call("ptrace", 0, 0, None, None))
    os._exit(0)
seal(train(Unigram()))
