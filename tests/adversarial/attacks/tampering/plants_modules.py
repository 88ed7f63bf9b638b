# title = "plants modules wherever Python looks for them"
# expect = "no-effect"
# layer = "sandbox: no folder of the path is writable"
# policies = "refused: imports | calls"
# broken_wall = "scratch-on-the-path"
# success = "effect"

# --- honest part ---
import os
import sys

for folder in {*sys.path, os.getcwd(), os.path.expanduser("~/.local/lib/python3.11/site-packages")}:
    if folder in sys.path or not folder.startswith("/tmp"):
        attempt(f"planted a module in {folder or '.'}", lambda folder=folder: open(f"{folder}/random.py", "w").close())
seal(train(Unigram()))
