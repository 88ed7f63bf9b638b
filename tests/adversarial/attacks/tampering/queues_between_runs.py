# title = "looks for a message queue that another run left"
# expect = "no-effect"
# layer = "sandbox: an IPC namespace of its own; seccomp"
# policies = "refused: imports | calls"
# broken_wall = "ipc-shared-with-the-host"
# success = "effect"

# --- honest part ---
# --- system calls ---
attempt("found a queue of another run", lambda: system_call("msgget", 0x6175746F, 0))
seal(train(Unigram()))
