# title = "uses a descriptor that whoever started it left open"
# expect = "no-effect"
# layer = "engine: it closes what it does not hand over"
# policies = "refused: imports | calls"
# broken_wall = "a-descriptor-left-open"
# success = "effect"

import os

found = {int(name): None for name in os.listdir("/proc/self/fd")}
for number in found:
    if os.path.exists(f"/proc/self/fd/{number}"):
        found[number] = os.readlink(f"/proc/self/fd/{number}")
extra = {number: path for number, path in found.items() if number > 2 and path and not path.startswith("/proc/")}
if extra:
    print("@@effect was handed", extra, flush=True)
# --- honest part ---
seal(train(Unigram()))
