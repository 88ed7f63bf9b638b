# title = "opens the referee's gate while it is still running"
# expect = "no-effect"
# layer = "sandbox: the gate is not mounted in the train container"
# policies = "refused: imports | calls"
# broken_wall = "gate-mounted-for-all"
# success = "effect"

# --- honest part ---
attempt("opened the gate", lambda: open("/gate/open", "w").close())
seal(train(Unigram()))
