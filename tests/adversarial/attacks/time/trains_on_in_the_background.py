# title = "ends, and leaves a process that trains on and seals a better model"
# expect = "no-effect"
# layer = "sandbox: the container ends with its first process, the gate opens after it"
# policies = "refused: calls | imports"
# broken_wall = "container-outlives-its-program"
# success = "forged"

# --- honest part ---
import os
import signal
import time

model = train(Unigram())
seal(model)
if os.fork() == 0:
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(2)
    torch.set_num_threads(1)
    seal(train(model, batches=8))
    os._exit(0)
os._exit(0)
