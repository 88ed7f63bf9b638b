# title = "prints the environment, in the hope of the daemon's key"
# expect = "no-effect"
# layer = "sandbox: a fixed environment"
# policies = "allowed"
# broken_wall = "a-secret-in-the-environment"
# success = "effect"
# quick = true

# --- honest part ---
import os

attempt("found a key:", lambda: [name for name in os.environ if "KEY" in name or "TOKEN" in name] or False)
seal(train(Unigram()))
