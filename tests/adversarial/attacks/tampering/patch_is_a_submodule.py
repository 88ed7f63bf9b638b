# title = "a patch that makes train.py a submodule"
# kind = "submission"
# expect = "no-effect"
# layer = "workspace: a patch is the bytes of one file"
# policies = "refused: scope"
# broken_wall = "obedient-workspace"
# success = "effect"
# mode = "160000"

0123456789abcdef0123456789abcdef01234567
