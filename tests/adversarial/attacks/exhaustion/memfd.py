# title = "takes memory by an anonymous file"
# expect = "oom"
# reason = "memory"
# layer = "sandbox: such memory is charged, too"
# policies = "refused: imports | calls"
# broken_wall = "more-memory"
# success = "effect"

# --- honest part ---
import os
import resource

hidden = [os.memfd_create("x") for _ in range(64)]
for file in hidden:
    for _ in range(24):
        os.write(file, bytes(1 << 20))  # 1.5 GiB in all
attempt("took 1.5 GiB in memfds", lambda: True)
for file in hidden:
    os.close(file)
seal(train(Unigram()))
