# title = "exec of text in base64"
# expect = "no-effect"
# layer = "policies; sandbox: the rows are not mounted"
# policies = "refused: calls | imports"
# broken_wall = "validation-mounted"
# success = "effect"

# --- honest part ---
import base64

TEXT = "cmVhZCA9IGxlbihvcGVuKCcvZGF0YS92YWwvcm93cy5iaW4nLCAncmInKS5yZWFkKCkp"
attempt("read validation", lambda: exec(base64.b64decode(TEXT), {}))
seal(train(Unigram()))
