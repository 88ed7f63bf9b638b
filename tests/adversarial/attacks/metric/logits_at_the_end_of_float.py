# title = "logits of 3e38 and -3e38, whose differences overflow"
# expect = "invalid"
# reason = "logits"
# layer = "referee: every loss is finite, every position a distribution"
# policies = "allowed"
# broken_wall = "careless-loss"
# success = "forged"

# --- honest part ---
class Edges(Unigram):
    def forward(self, tokens):
        sign = 1.0 - 2.0 * (torch.arange(VOCABULARY) % 2)
        return super().forward(tokens) * 0.0 + sign * 3e38


seal(train(Edges()))
