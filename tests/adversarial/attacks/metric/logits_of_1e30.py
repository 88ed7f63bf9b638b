# title = "logits of 1e30, for which a careless log-sum-exp gives a loss of 0"
# expect = "no-effect"
# merit = "uniform"
# tolerance_bpb = 1e-5
# layer = "referee: the row maximum is subtracted first"
# policies = "allowed"
# broken_wall = "careless-loss"
# success = "forged"
# quick = true

# --- honest part ---
class Huge(Unigram):
    def forward(self, tokens):
        return super().forward(tokens) * 0.0 + 1e30


seal(train(Huge()))
