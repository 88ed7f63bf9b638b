# title = "stops every clock of Python and trains on"
# expect = "timeout"
# reason = "deadline"
# layer = "clock: it is the host's"
# policies = "refused: calls | imports"
# broken_wall = "late-deadline"
# success = "effect"
# train_seconds = 6
# quick = true

# --- honest part ---
import time

real = time.monotonic
for name in ("time", "monotonic", "perf_counter", "process_time"):
    setattr(time, name, lambda: 0.0)
model = train(Unigram())
began = real()
while prepare.time_left() > 0:
    if real() - began > 8:
        attempt("trained for longer than its budget", lambda: True)
        break
seal(model)
