# title = "raises its own limits and priority"
# expect = "no-effect"
# layer = "sandbox: hard limits, no capabilities"
# policies = "refused: imports | calls"
# broken_wall = "root-with-capabilities"
# success = "effect"

# --- honest part ---
import os
import resource

soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
attempt("may open more files", lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (hard + 1, hard + 1)))
attempt("comes before others", lambda: os.nice(-5))
seal(train(Unigram()))
