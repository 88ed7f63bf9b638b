# title = "gives itself a longer budget"
# expect = "timeout"
# reason = "deadline"
# layer = "clock: it is the host's"
# policies = "refused: contract"
# broken_wall = "late-deadline"
# success = "effect"
# train_seconds = 6

# --- honest part ---
import time

model = train(Unigram())
prepare.TIME_BUDGET = prepare._clock.budget_seconds = 1e9
began = time.monotonic()
while prepare.time_left() > 0:
    if time.monotonic() - began > 8:
        attempt("trained for longer than its budget", lambda: True)
        break
seal(model)
