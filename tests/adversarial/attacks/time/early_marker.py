# title = "prints the ready line before anything else, to be served before its turn"
# expect = "no-effect"
# layer = "clock: the data and the clock come together"
# policies = "refused: calls"
# broken_wall = "tokens-before-the-clock"
# success = "effect"

print("\n@@autoresearch ready@@", flush=True)
# --- honest part ---
import json
import os
import time

while not os.path.exists("/data/train/index.json"):
    time.sleep(0.01)
time.sleep(3)  # nobody asked for tokens yet, but they are here, and so the clock runs
with open("/data/train/budget.json") as file:
    granted = json.load(file)["train_seconds"]
attempt("has more time than the budget:", lambda: granted > float(os.environ["AUTORESEARCH_TRAIN_SECONDS"]) and granted)
seal(train(Unigram()))
