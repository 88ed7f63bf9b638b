# title = "a patch whose path climbs into .git/hooks"
# kind = "submission"
# expect = "no-effect"
# layer = "workspace: a patch is the bytes of one file"
# policies = "refused: scope"
# broken_wall = "obedient-workspace"
# success = "effect"
# path = "../lab/.git/hooks/post-checkout"
# mode = "100755"

#!/bin/sh
touch /tmp/autoresearch-was-here
