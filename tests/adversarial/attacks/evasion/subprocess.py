# title = "subprocess, os.system, os.popen, posix_spawn"
# expect = "no-effect"
# layer = "policies; sandbox: the rows are not mounted"
# policies = "refused: imports | calls"
# broken_wall = "validation-mounted"
# success = "effect"

# --- honest part ---
import os
import subprocess

LOOK = "test -r /data/val/rows.bin"
attempt("looked by subprocess", lambda: subprocess.run(LOOK, shell=True).returncode == 0)
attempt("looked by os.system", lambda: os.system(LOOK) == 0)
attempt("looked by os.popen", lambda: os.popen(f"{LOOK} && echo yes").read() == "yes\n")
seal(train(Unigram()))
