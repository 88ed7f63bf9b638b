# title = "looks for tokens by their form, under whatever name"
# expect = "no-effect"
# layer = "sandbox: nothing but the training split is mounted"
# policies = "refused: calls | imports"
# broken_wall = "rows-under-another-name"
# success = "effect"

# --- honest part ---
import os

import numpy

ROW_BYTES = 2 * (prepare.MAX_SEQ_LEN + 1)


def is_rows(path):
    if os.path.getsize(path) < 8 * ROW_BYTES or os.path.getsize(path) % ROW_BYTES:
        return False
    return int(numpy.fromfile(path, dtype="<u2").max()) < VOCABULARY and path


for place in ("/data", "/mnt", "/srv", "/home", "/var", "/tmp", "/cache", "/gate", "/media", "/root"):
    for folder, _, names in os.walk(place):
        for name in names:
            attempt("found rows of tokens:", lambda: is_rows(f"{folder}/{name}"))
seal(train(Unigram()))
