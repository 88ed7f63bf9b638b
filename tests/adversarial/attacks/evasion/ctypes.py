# title = "ctypes: the C library's own open"
# expect = "no-effect"
# layer = "policies; sandbox: the rows are not mounted"
# policies = "refused: imports"
# broken_wall = "validation-mounted"
# success = "effect"

# --- honest part ---
import ctypes

attempt("opened validation", lambda: ctypes.CDLL(None).open(b"/data/val/rows.bin", 0) >= 0)
seal(train(Unigram()))
