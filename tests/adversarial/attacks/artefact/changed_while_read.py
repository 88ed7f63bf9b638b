# title = "keeps the weights mapped in a background process and changes them later"
# expect = "no-effect"
# layer = "sandbox: nothing of the candidate lives when the gate opens"
# policies = "refused: imports | calls"
# broken_wall = "container-outlives-its-program"
# success = "forged"

# --- honest part ---
import os
import time

model = train(Unigram())
seal(model)
old = model.logits.detach().numpy().tobytes()
better = train(Unigram(), batches=8).logits.detach().numpy().tobytes()
if os.fork() == 0:
    os.setsid()
    with open("/out/model.safetensors", "r+b") as file:
        start = file.read().index(old)
        time.sleep(2)
        file.seek(start)
        file.write(better)
    os._exit(0)
os._exit(0)
