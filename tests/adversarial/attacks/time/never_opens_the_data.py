# title = "seals a model without ever asking for the data"
# expect = "invalid"
# reason = "without ever asking"
# layer = "clock: without a start there is no score"
# policies = "allowed"
# broken_wall = "no-release-needed"
# success = "accepted"

# --- honest part ---
seal(Unigram())
