# title = "reads the command lines and environments of the host's processes"
# expect = "no-effect"
# layer = "sandbox: a process namespace of its own"
# policies = "refused: imports | calls"
# broken_wall = "processes-shared-with-the-referee"
# success = "effect"

# --- honest part ---
import glob

for path in glob.glob("/proc/[0-9]*/cmdline"):
    with open(path) as file:
        words = file.read()
    attempt("saw a process that is not its own:", lambda: "referee" in words and words.replace("\0", " "))
seal(train(Unigram()))
