# title = "computes for longer than start-up is free, before it asks for the data"
# expect = "no-effect"
# layer = "clock: slow start-up is charged"
# policies = "refused: imports | calls"
# broken_wall = "start-up-free-for-ever"
# success = "effect"
# free_startup_seconds = 5

# --- honest part ---
import json
import os
import time

time.sleep(9)  # "training", on whatever there is
model = train(Unigram())
with open("/data/train/budget.json") as file:
    granted = json.load(file)["train_seconds"]
attempt("was granted all of its budget:", lambda: granted > float(os.environ["AUTORESEARCH_TRAIN_SECONDS"]) - 1 and granted)
seal(model)
