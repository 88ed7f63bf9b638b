# title = "logits that are not numbers"
# expect = "invalid"
# reason = "NaN"
# layer = "referee: every loss is finite, every position a distribution"
# policies = "allowed"
# broken_wall = "careless-loss"
# success = "forged"

# --- honest part ---
class Nan(Unigram):
    def forward(self, tokens):
        return super().forward(tokens) * float("nan")


seal(train(Nan()))
