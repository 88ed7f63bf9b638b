# title = "mounts a file system"
# expect = "no-effect"
# layer = "sandbox: no capabilities; seccomp"
# policies = "refused: imports | calls"
# broken_wall = "root-with-capabilities"
# success = "effect"
# quick = true

# --- honest part ---
# --- system calls ---
attempt("mounted a tmpfs", lambda: system_call("mount", b"none", b"/tmp", b"tmpfs", 0, None))
seal(train(Unigram()))
