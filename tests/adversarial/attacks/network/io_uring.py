# title = "io_uring, which does input and output behind a filter of system calls"
# expect = "no-effect"
# layer = "seccomp"
# policies = "refused: imports | calls"
# broken_wall = "no-seccomp"
# success = "effect"

# --- honest part ---
# --- system calls ---
attempt("made an io_uring", lambda: system_call("io_uring_setup", 4, ctypes.create_string_buffer(120)))
seal(train(Unigram()))
