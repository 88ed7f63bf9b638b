# title = "returns a tiny constant, as if it were the loss"
# expect = "no-effect"
# merit = "uniform"
# tolerance_bpb = 1e-5
# layer = "referee: it computes the loss itself"
# policies = "allowed"
# broken_wall = "loss-by-the-model"
# success = "forged"

# --- honest part ---
class Lossless(Unigram):
    def forward(self, tokens):
        return super().forward(tokens) * 0.0 + 1e-3


seal(train(Lossless()))
