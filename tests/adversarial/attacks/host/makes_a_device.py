# title = "makes a device node for the disk, and another in /out"
# expect = "no-effect"
# layer = "sandbox: no capabilities; seccomp"
# policies = "refused: imports | calls"
# broken_wall = "root-with-capabilities"
# success = "effect"

# --- honest part ---
import os
import stat

for path in ("/tmp/null", "/out/model.json"):
    attempt(f"made {path}", lambda path=path: os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3)))
seal(train(Unigram()))
