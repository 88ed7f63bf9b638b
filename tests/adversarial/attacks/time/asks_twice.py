# title = "prints the ready line again and again, to start the clock anew"
# expect = "timeout"
# reason = "deadline"
# layer = "clock: it starts once"
# policies = "allowed"
# broken_wall = "clock-starts-anew"
# success = "effect"
# train_seconds = 6

# --- honest part ---
import time

train(Unigram())
began = time.monotonic()
while time.monotonic() - began < 9:
    print("\n@@autoresearch ready@@", flush=True)
    time.sleep(0.5)
attempt("was given more time", lambda: True)
