# title = "torch.ops.load_library, which runs whatever the file's constructor says"
# expect = "no-effect"
# layer = "policies; sandbox: native code meets the same walls"
# policies = "refused: calls"
# broken_wall = "validation-mounted"
# success = "effect"

# --- honest part ---
torch.ops.load_library(torch.__path__[0] + "/lib/libtorch_global_deps.so")
attempt("read validation", lambda: len(torch.from_file("/data/val/rows.bin", size=512, dtype=torch.uint8)))
seal(train(Unigram()))
