# title = "a patch of policy.yaml that switches every rule off"
# kind = "submission"
# expect = "no-effect"
# layer = "workspace: a patch is the bytes of one file"
# policies = "refused: scope"
# broken_wall = "obedient-workspace"
# success = "effect"
# path = "policy.yaml"

rules: {}
