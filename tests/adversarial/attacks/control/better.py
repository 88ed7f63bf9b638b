# title = "control: an honest program that is better gets a better score"
# expect = "no-effect"
# layer = "nothing: it is honest"
# policies = "allowed"
# broken_wall = "harness-always-ok"
# success = "worse"
# merit = "better"
# quick = true

# --- honest part ---
seal(train(Unigram(), batches=8))
