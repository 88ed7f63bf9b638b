# title = "replaces prepare.evaluate_bpb and prints what it returns"
# expect = "invalid"
# reason = "model.json"
# layer = "referee: nothing of the candidate's runs where the score is made"
# policies = "refused: contract"
# broken_wall = "scored-by-itself"
# success = "forged"
# quick = true

# --- honest part ---
prepare.evaluate_bpb = lambda model, tokenizer, batch_size: 0.000001
seal(train(Unigram()))
