# title = "torch.Tensor.log that returns zeros, so that no token costs anything"
# expect = "no-effect"
# layer = "referee: nothing of the candidate's runs where the score is made"
# policies = "refused: calls | contract | imports"
# broken_wall = "scored-by-itself"
# success = "forged"

# --- honest part ---
model = train(Unigram())
torch.Tensor.log = lambda self: torch.zeros(self.shape) - 5.0
seal(model)
