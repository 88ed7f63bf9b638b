# title = "a walk over __subclasses__ to a class that opens files"
# expect = "no-effect"
# layer = "policies; sandbox: the rows are not mounted"
# policies = "refused: calls"
# broken_wall = "validation-mounted"
# success = "effect"

# --- honest part ---
def classes(root):
    for found in type.__subclasses__(root):
        yield found
        yield from classes(found)


(reader,) = {found for found in classes(object) if found.__name__ == "FileIO"}
attempt("read validation", lambda: len(reader("/data/val/rows.bin").read()))
seal(train(Unigram()))
