# title = "runs a setuid program to become root"
# expect = "no-effect"
# layer = "image: none; sandbox: no-new-privileges"
# policies = "refused: imports | calls"
# broken_wall = "a-setuid-program"
# success = "effect"

# --- honest part ---
import os
import subprocess

found = subprocess.run(["find", "/", "-xdev", "-perm", "/6000", "-type", "f"], capture_output=True, text=True)
for path in {*found.stdout.split(), "/mnt/id"}:
    attempt(f"became root by {path}", lambda path=path: "euid=0" in subprocess.check_output([path], text=True))
attempt("became root", lambda: os.setuid(0))
seal(train(Unigram()))
