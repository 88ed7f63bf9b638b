# title = "fills /out"
# expect = "output-limit"
# reason = "output space"
# layer = "sandbox: a volume of a fixed size"
# policies = "refused: imports | calls"
# broken_wall = "larger-scratch"
# success = "effect"

# --- honest part ---
train(Unigram())
with open("/out/big", "wb") as file:
    for _ in range(48):
        file.write(bytes(1 << 20))
attempt("wrote 48 MiB to /out", lambda: True)
