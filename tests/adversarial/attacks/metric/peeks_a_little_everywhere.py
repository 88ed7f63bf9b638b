# title = "looks at every next token, a little at each"
# expect = "invalid"
# reason = "looks ahead"
# audit_rows = 400
# layer = "referee: the audit bounds the mean gain"
# policies = "allowed"
# broken_wall = "no-audit"
# success = "forged"

# --- honest part ---
class Peeking(Unigram):
    def forward(self, tokens):
        coming = torch.nn.functional.one_hot(torch.roll(tokens, -1, 1), VOCABULARY)
        return super().forward(tokens) + 3e-4 * coming


seal(train(Peeking()))
