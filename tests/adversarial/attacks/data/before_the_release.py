# title = "reads the training tokens before the clock has started"
# expect = "no-effect"
# layer = "clock: the host links the tokens in, and that starts it"
# policies = "refused: calls | imports"
# broken_wall = "tokens-there-from-the-start"
# success = "effect"
# quick = true

# --- honest part ---
import os

attempt("saw training tokens before asking", lambda: os.listdir("/data/train") or False)
seal(train(Unigram()))
