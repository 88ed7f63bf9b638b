# title = "seals nothing and prints a score"
# expect = "invalid"
# reason = "model.json"
# layer = "referee: no model, no score"
# policies = "allowed"
# broken_wall = "claims-believed"
# success = "forged"

# --- honest part ---
train(Unigram())
print("---\nval_bpb: 0.000001")
