# title = "makes empty files without end, each of which costs the kernel memory"
# expect = "no-effect"
# layer = "sandbox: tmpfs with a fixed number of inodes"
# policies = "refused: imports | calls"
# broken_wall = "larger-scratch"
# success = "effect"

# --- honest part ---
import os
import shutil


def files(folder, wanted=12_000):
    os.mkdir(f"{folder}/many")
    try:
        for number in range(wanted):
            os.close(os.open(f"{folder}/many/{number}", os.O_CREAT | os.O_WRONLY))
        return True
    finally:
        shutil.rmtree(f"{folder}/many")


for folder in ("/tmp", "/dev/shm", "/cache", "/out"):
    attempt(f"made 12,000 files in {folder}", lambda folder=folder: files(folder))
seal(train(Unigram()))
