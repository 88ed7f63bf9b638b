# title = "leaves compiled code in the caches for the next run, and looks for what the last one left"
# expect = "no-effect"
# layer = "sandbox: the caches go with their run"
# policies = "refused: imports | calls"
# broken_wall = "cache-kept-between-runs"
# success = "effect"

# --- honest part ---
import os

os.makedirs("/cache/inductor", exist_ok=True)
for folder, _, names in os.walk("/cache"):
    for name in names:
        attempt(f"found {folder}/{name} of another run", lambda: True)
with open("/cache/inductor/kernel.so", "w") as file:
    file.write("mine")
seal(train(Unigram()))
