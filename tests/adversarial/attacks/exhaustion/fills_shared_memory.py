# title = "fills /dev/shm"
# expect = "no-effect"
# layer = "sandbox: tmpfs of a fixed size"
# policies = "refused: imports | calls"
# broken_wall = "larger-scratch"
# success = "effect"

# --- honest part ---
# --- filling up ---
attempt("wrote 48 MiB to /dev/shm", lambda: filled("/dev/shm") >= 48)
seal(train(Unigram()))
