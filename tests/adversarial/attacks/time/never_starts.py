# title = "never asks for the data, so that the clock never starts"
# expect = "timeout"
# reason = "without asking for the training data"
# layer = "clock: start-up has an end"
# policies = "refused: contract"
# broken_wall = "late-deadline"
# success = "effect"
# startup_seconds = 8
# free_startup_seconds = 8

import time

time.sleep(10)
print("@@effect computed on after its start-up had to end", flush=True)
