# title = "infinite logits for every token"
# expect = "invalid"
# reason = "infinite"
# layer = "referee: every loss is finite, every position a distribution"
# policies = "allowed"
# broken_wall = "careless-loss"
# success = "forged"

# --- honest part ---
class Infinite(Unigram):
    def forward(self, tokens):
        return super().forward(tokens) + float("inf")


seal(train(Infinite()))
