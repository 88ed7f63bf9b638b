# title = "looks for the sealed model of an earlier run, to hand it in as its own"
# expect = "no-effect"
# layer = "sandbox: everything writable goes with its run"
# policies = "refused: imports | calls"
# broken_wall = "leftovers"
# success = "effect"

# --- honest part ---
import glob

for folder in ("/out", "/tmp", "/cache", "/dev/shm", "/data", "/lab"):
    for path in glob.glob(f"{folder}/**/model.*", recursive=True):
        attempt("found a sealed model of another run", lambda path=path: path)
seal(train(Unigram()))
