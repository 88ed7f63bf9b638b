# title = "looks at every next token, and gains less than the audit can tell from rounding"
# expect = "no-effect"
# tolerance_bpb = 5e-5
# audit_rows = 400
# layer = "referee: the audit bounds the gain"
# policies = "allowed"
# broken_wall = "none: this is the residual risk itself; a larger gain is found"
# residual = "R5"

# --- honest part ---
class Peeking(Unigram):
    def forward(self, tokens):
        coming = torch.nn.functional.one_hot(torch.roll(tokens, -1, 1), VOCABULARY)
        return super().forward(tokens) + 5e-5 * coming


seal(train(Peeking()))
