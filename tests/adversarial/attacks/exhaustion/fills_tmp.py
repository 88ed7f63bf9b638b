# title = "fills /tmp and /cache"
# expect = "no-effect"
# layer = "sandbox: tmpfs of a fixed size"
# policies = "refused: imports | calls"
# broken_wall = "larger-scratch"
# success = "effect"

# --- honest part ---
# --- filling up ---
for folder in ("/tmp", "/cache"):
    attempt(f"wrote 48 MiB to {folder}", lambda folder=folder: filled(folder) >= 48)
seal(train(Unigram()))
