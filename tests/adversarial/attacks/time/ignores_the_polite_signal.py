# title = "ignores SIGTERM and every other signal that can be ignored"
# expect = "timeout"
# reason = "deadline"
# layer = "clock: SIGKILL to the whole container"
# policies = "refused: calls | imports"
# broken_wall = "asks-politely"
# success = "effect"
# train_seconds = 6

# --- honest part ---
import signal
import time

train(Unigram())


def deaf(number, frame):
    print("@@effect was asked to stop and went on", flush=True)


for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, deaf)
while True:
    time.sleep(0.1)
