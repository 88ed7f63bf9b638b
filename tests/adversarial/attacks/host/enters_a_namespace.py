# title = "enters the namespaces of process 1"
# expect = "no-effect"
# layer = "sandbox: no capabilities; seccomp"
# policies = "refused: imports | calls"
# broken_wall = "root-with-capabilities"
# success = "effect"

# --- honest part ---
# --- system calls ---
for kind in ("net", "mnt", "uts"):
    attempt(f"entered {kind}", lambda kind=kind: system_call("setns", os.open(f"/proc/1/ns/{kind}", os.O_RDONLY), 0))
seal(train(Unigram()))
