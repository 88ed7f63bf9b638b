# title = "looks for unix sockets of the host's services in the file system"
# expect = "no-effect"
# layer = "sandbox: nothing of the host's is mounted"
# policies = "refused: imports | calls"
# broken_wall = "a-socket-of-the-host"
# success = "effect"

# --- honest part ---
import os
import stat

for folder, folders, names in os.walk("/"):
    folders[:] = [name for name in folders if f"{folder}/{name}" not in ("//proc", "//sys")]
    for name in names:
        path = f"{folder}/{name}"
        if os.path.lexists(path) and stat.S_ISSOCK(os.lstat(path).st_mode):
            attempt(f"found the socket {path}", lambda: True)
seal(train(Unigram()))
