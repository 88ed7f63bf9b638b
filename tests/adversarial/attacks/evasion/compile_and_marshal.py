# title = "compile, marshal and a function made of a code object"
# expect = "no-effect"
# layer = "policies; sandbox: the rows are not mounted"
# policies = "refused: calls | imports"
# broken_wall = "validation-mounted"
# success = "effect"

# --- honest part ---
import marshal
import types

code = marshal.loads(marshal.dumps(compile("len(open('/data/val/rows.bin', 'rb').read())", "x", "eval")))
attempt("read validation", lambda: types.FunctionType(code, globals())())
seal(train(Unigram()))
