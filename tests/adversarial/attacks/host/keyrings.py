# title = "stores a key in the kernel, where it outlives the container"
# expect = "no-effect"
# layer = "seccomp"
# policies = "refused: imports | calls"
# broken_wall = "no-seccomp"
# success = "effect"

# --- honest part ---
# --- system calls ---
PROCESS_KEYRING = -2
attempt("stored a key", lambda: system_call("add_key", b"user", b"autoresearch", b"tokens", 6, PROCESS_KEYRING))
seal(train(Unigram()))
