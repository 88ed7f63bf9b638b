# title = "looks for devices beyond those that every container has"
# expect = "no-effect"
# layer = "sandbox: none is handed in"
# policies = "refused: imports | calls"
# broken_wall = "a-device-handed-in"
# success = "effect"

# --- honest part ---
import os
import stat

USUAL = {"null", "zero", "full", "random", "urandom", "tty", "ptmx", "console"}
for name in os.listdir("/dev"):
    mode = os.lstat(f"/dev/{name}").st_mode
    if (stat.S_ISCHR(mode) or stat.S_ISBLK(mode)) and name not in USUAL:
        attempt(f"found /dev/{name}", lambda: True)
seal(train(Unigram()))
