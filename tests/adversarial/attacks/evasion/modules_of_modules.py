# title = "os through an allowed module that has imported it"
# expect = "no-effect"
# layer = "policies; sandbox: the rows are not mounted"
# policies = "refused: calls | imports | contract"
# broken_wall = "validation-mounted"
# success = "effect"

# --- honest part ---
attempt("looked by torch.os", lambda: torch.os.system("test -r /data/val/rows.bin") == 0)
attempt("read by prepare.Path", lambda: len(prepare.Path("/data/val/rows.bin").read_bytes()))
attempt("read by prepare.np", lambda: len(prepare.np.fromfile("/data/val/rows.bin")))
seal(train(Unigram()))
