# title = "control: an honest program is scored on its merit"
# expect = "no-effect"
# layer = "nothing: it is honest"
# policies = "allowed"
# broken_wall = "harness-always-ok"
# success = "worse"
# quick = true

# --- honest part ---
seal(train(Unigram()))
