# title = "opens as many files as it can"
# expect = "no-effect"
# layer = "sandbox: a limit on descriptors"
# policies = "refused: imports | calls"
# broken_wall = "more-descriptors"
# success = "effect"

# --- honest part ---
import os

opened = []
try:
    while len(opened) < 5000:
        opened.append(os.open("/dev/null", os.O_RDONLY))
except OSError as error:
    print("stopped at", len(opened), error)
for number in opened:
    os.close(number)
attempt("opened 5000 files", lambda: len(opened) >= 5000)
seal(train(Unigram()))
