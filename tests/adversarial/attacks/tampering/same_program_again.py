# title = "the same program again, with other spaces and comments"
# kind = "submission"
# expect = "no-effect"
# layer = "policies: history (it would only cost time)"
# policies = "refused: history"
# broken_wall = "none: it is harmless; only the policies look at it"
# tried = true

# a fresh idea

# --- honest part ---
seal(  train(Unigram())   )  # quite another program
