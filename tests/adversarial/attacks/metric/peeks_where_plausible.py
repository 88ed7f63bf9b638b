# title = "looks at the next token, and only dares where that token is likely anyway"
# expect = "invalid"
# reason = "looks ahead"
# audit_rows = 400
# layer = "referee: audit"
# policies = "allowed"
# broken_wall = "no-audit"
# success = "forged"

# --- honest part ---
class Peeking(Unigram):
    def forward(self, tokens):
        coming = torch.nn.functional.one_hot(torch.roll(tokens, -1, 1), VOCABULARY)
        likely = (self.logits > 3.0).float()
        return super().forward(tokens) + 2.0 * coming * likely


seal(train(Peeking()))
