# title = "searches the whole file system for evaluation rows by name"
# expect = "no-effect"
# layer = "sandbox: they are not mounted"
# policies = "refused: calls | imports"
# broken_wall = "validation-mounted"
# success = "effect"

# --- honest part ---
import os

for folder, folders, names in os.walk("/"):
    folders[:] = [name for name in folders if f"{folder}/{name}" not in ("//proc", "//sys")]
    for name in names:
        if name == "rows.bin" or "holdout" in name:
            attempt(f"found {folder}/{name}", lambda: True)
seal(train(Unigram()))
