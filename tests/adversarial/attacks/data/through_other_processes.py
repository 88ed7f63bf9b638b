# title = "reads through the root and the descriptors of every process in /proc"
# expect = "no-effect"
# layer = "sandbox: a process namespace of its own, another uid for the referee"
# policies = "refused: calls | imports"
# broken_wall = "processes-shared-with-the-referee"
# success = "effect"

# --- honest part ---
import glob

for path in glob.glob("/proc/[0-9]*/root/data/val/rows.bin") + glob.glob("/proc/[0-9]*/cwd/data/val/rows.bin"):
    attempt(f"read {path}", lambda path=path: len(open(path, "rb").read()))
seal(train(Unigram()))
