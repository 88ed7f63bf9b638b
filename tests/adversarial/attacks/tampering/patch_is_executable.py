# title = "a patch that makes train.py executable"
# kind = "submission"
# expect = "no-effect"
# layer = "workspace: a patch is the bytes of one file"
# policies = "refused: scope"
# broken_wall = "obedient-workspace"
# success = "effect"
# mode = "100755"

# --- honest part ---
seal(train(Unigram()))
