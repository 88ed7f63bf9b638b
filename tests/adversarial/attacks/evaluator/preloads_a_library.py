# title = "LD_PRELOAD and ld.so.preload, for whatever program starts next"
# expect = "no-effect"
# layer = "sandbox: read-only root, unprivileged user; referee: an environment of its own"
# policies = "refused: calls | imports"
# broken_wall = "root-on-a-writable-root"
# success = "effect"

# --- honest part ---
import os

os.environ["LD_PRELOAD"] = "/out/evil.so"


def preload():
    with open("/etc/ld.so.preload", "w") as file:
        file.write("")


attempt("wrote ld.so.preload", preload)
del os.environ["LD_PRELOAD"]
seal(train(Unigram()))
