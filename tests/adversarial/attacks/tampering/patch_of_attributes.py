# title = "a patch of .gitattributes, to have git start a program"
# kind = "submission"
# expect = "no-effect"
# layer = "workspace: a patch is the bytes of one file"
# policies = "refused: scope"
# broken_wall = "obedient-workspace"
# success = "effect"
# path = ".gitattributes"

* filter=evil diff=evil
