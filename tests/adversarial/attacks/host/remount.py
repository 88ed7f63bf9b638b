# title = "remounts a read-only mount for writing"
# expect = "no-effect"
# layer = "sandbox: no capabilities; seccomp"
# policies = "refused: imports | calls"
# broken_wall = "root-with-capabilities"
# success = "effect"

# --- honest part ---
# --- system calls ---
REMOUNT_BIND = 32 | 4096
attempt("remounted /lab", lambda: system_call("mount", None, b"/lab", None, REMOUNT_BIND, None))
seal(train(Unigram()))
