# title = "attributes inside a format string"
# expect = "no-effect"
# layer = "policies; sandbox: there is no secret to print"
# policies = "refused: calls"
# broken_wall = "a-secret-in-the-environment"
# success = "effect"

# --- honest part ---
shown = "{0.__globals__[prepare].os.environ}".format(train)
attempt("read a secret from the environment", lambda: "API_KEY" in shown)
seal(train(Unigram()))
