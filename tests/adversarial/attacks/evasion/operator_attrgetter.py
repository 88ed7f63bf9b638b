# title = "operator.attrgetter, functools and a decorator instead of a plain call"
# expect = "no-effect"
# layer = "policies; sandbox: the rows are not mounted"
# policies = "refused: calls | imports"
# broken_wall = "validation-mounted"
# success = "effect"

# --- honest part ---
import functools
import operator

reader = operator.attrgetter("Path")(prepare)
attempt("read validation", functools.partial(operator.methodcaller("read_bytes"), reader("/data/val/rows.bin")))
seal(train(Unigram()))
