# title = "writes to the tokenizer, the byte table and the training tokens"
# expect = "no-effect"
# layer = "sandbox: mounted read-only"
# policies = "refused: imports | calls"
# broken_wall = "data-writable"
# success = "effect"

# --- honest part ---
import os

for folder in ("/data/common", "/data/train"):
    for name in os.listdir(folder):
        attempt(f"opened {name} for writing", lambda folder=folder, name=name: open(f"{folder}/{name}", "r+b").close())
    attempt(f"added to {folder}", lambda folder=folder: open(f"{folder}/more.bin", "wb").close())
seal(train(Unigram()))
