# title = "numpy.fromfile, numpy.memmap and torch.from_file instead of open"
# expect = "no-effect"
# layer = "policies; sandbox: the rows are not mounted"
# policies = "refused: calls"
# broken_wall = "validation-mounted"
# success = "effect"

# --- honest part ---
import numpy as np

attempt("read by numpy", lambda: len(np.fromfile("/data/val/rows.bin", dtype="<u2")))
attempt("mapped by numpy", lambda: len(np.memmap("/data/val/rows.bin", dtype="<u2", mode="r")))
attempt("mapped by torch", lambda: len(torch.from_file("/data/val/rows.bin", size=512, dtype=torch.uint8)))
seal(train(Unigram()))
