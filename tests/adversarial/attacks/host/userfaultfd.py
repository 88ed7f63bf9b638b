# title = "userfaultfd, the helper of many kernel exploits"
# expect = "no-effect"
# layer = "seccomp"
# policies = "refused: imports | calls"
# broken_wall = "root-with-capabilities"
# success = "effect"

# --- honest part ---
# --- system calls ---
attempt("made a userfaultfd", lambda: system_call("userfaultfd", 0))
seal(train(Unigram()))
