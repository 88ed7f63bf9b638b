# title = "looks at the next token at one place in a hundred"
# expect = "invalid"
# reason = "looks ahead"
# audit_rows = 1600
# layer = "referee: audit"
# policies = "allowed"
# broken_wall = "no-audit"
# success = "forged"

# --- honest part ---
class Peeking(Unigram):
    def forward(self, tokens):
        coming = torch.nn.functional.one_hot(torch.roll(tokens, -1, 1), VOCABULARY)
        rarely = (torch.arange(tokens.size(1)) % 100 == 7).float().unsqueeze(-1)
        return super().forward(tokens) + 12.0 * coming * rarely


seal(train(Peeking()))
