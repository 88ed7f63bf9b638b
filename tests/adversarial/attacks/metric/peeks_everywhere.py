# title = "looks at every next token"
# expect = "invalid"
# reason = "looks ahead"
# audit_rows = 400
# layer = "referee: audit"
# policies = "allowed"
# broken_wall = "no-audit"
# success = "forged"
# quick = true

# --- honest part ---
class Peeking(Unigram):
    def forward(self, tokens):
        coming = torch.nn.functional.one_hot(torch.roll(tokens, -1, 1), VOCABULARY)
        return super().forward(tokens) + 9.0 * coming


seal(train(Peeking()))
