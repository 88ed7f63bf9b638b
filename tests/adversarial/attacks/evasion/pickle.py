# title = "a pickle that calls what it likes"
# expect = "no-effect"
# layer = "policies; sandbox: the rows are not mounted"
# policies = "refused: imports"
# broken_wall = "validation-mounted"
# success = "effect"

# --- honest part ---
import pickle

OPEN = b"cio\nFileIO\n(S'/data/val/rows.bin'\ntR."
attempt("read validation", lambda: len(pickle.loads(OPEN).read()))
seal(train(Unigram()))
