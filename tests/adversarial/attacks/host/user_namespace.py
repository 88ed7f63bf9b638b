# title = "makes a user namespace, to be root in it"
# expect = "no-effect"
# layer = "seccomp"
# policies = "refused: imports | calls"
# broken_wall = "no-seccomp"
# success = "effect"

# --- honest part ---
# --- system calls ---
if os.fork() == 0:
    attempt("is in a new user namespace", lambda: system_call("unshare", 0x10000000))
    os._exit(0)
os.wait()
seal(train(Unigram()))
