# title = "prints the very line that the referee would print"
# expect = "no-effect"
# layer = "referee: its line is read from its own container"
# policies = "allowed"
# broken_wall = "one-log-for-both"
# success = "forged"
# quick = true

# --- honest part ---
# --- forged answer ---
seal(train(Unigram()))
print(ANSWER)
