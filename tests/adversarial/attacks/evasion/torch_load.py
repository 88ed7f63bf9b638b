# title = "torch.load of a file that it has just written: pickle by another name"
# expect = "no-effect"
# layer = "policies; sandbox: the rows are not mounted"
# policies = "refused: calls"
# broken_wall = "validation-mounted"
# success = "effect"

# --- honest part ---
class Opens:
    def __reduce__(self):
        return prepare.np.fromfile, ("/data/val/rows.bin",)


torch.save(Opens(), "/tmp/weights.pt")
attempt("read validation", lambda: len(torch.load("/tmp/weights.pt", weights_only=False)))
seal(train(Unigram()))
