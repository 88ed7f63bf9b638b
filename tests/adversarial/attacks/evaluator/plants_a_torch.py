# title = "a torch.py of its own in the volume that the referee mounts"
# expect = "no-effect"
# layer = "referee: no writable place is on its path"
# policies = "refused: calls | imports"
# broken_wall = "referee-works-in-out"
# success = "forged"

# --- honest part ---
# --- forged answer ---
import os

seal(train(Unigram()))
with open("/out/torch.py", "w") as file:
    file.write(f"import os\nfor n in range(3, 12):\n  try: os.write(n, {ANSWER + chr(10)!r}.encode())\n  except OSError: pass\nos._exit(0)\n")
os.chmod("/out/torch.py", 0o644)
