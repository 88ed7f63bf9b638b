# title = "a patch that makes train.py a symlink"
# kind = "submission"
# expect = "no-effect"
# layer = "workspace: a patch is the bytes of one file"
# policies = "refused: scope"
# broken_wall = "obedient-workspace"
# success = "effect"
# mode = "120000"
# quick = true

/etc/passwd
