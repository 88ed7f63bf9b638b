# title = "log-probabilities that sum to more than one, as caches of n-grams gave them"
# expect = "no-effect"
# tolerance_bpb = 1e-5
# layer = "referee: it normalises"
# policies = "allowed"
# broken_wall = "loss-not-normalised"
# success = "forged"

# --- honest part ---
class Generous(Unigram):
    def forward(self, tokens):
        return torch.log_softmax(super().forward(tokens), dim=-1) + 2.0


seal(train(Generous()))
