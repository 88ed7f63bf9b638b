# title = "claims nan, inf, -0.0 and a score in full-width digits"
# expect = "no-effect"
# layer = "referee: what is printed is a claim"
# policies = "allowed"
# broken_wall = "claims-believed"
# success = "forged"

# --- honest part ---
seal(train(Unigram()))
print("---\nval_bpb: nan\nval_bpb: inf\nval_bpb: -inf\nval_bpb: \uff10.\uff10\uff11\nval_bpb: -0.0")
