# title = "learns from the other rows of the batch"
# expect = "invalid"
# reason = "rows"
# audit_rows = 400
# layer = "referee: audit"
# policies = "allowed"
# broken_wall = "no-audit"
# success = "forged"
# quick = true

# --- honest part ---
class Coupled(Unigram):
    def forward(self, tokens):
        seen = torch.nn.functional.one_hot(tokens, VOCABULARY).float().sum((0, 1))
        return (super().forward(tokens).exp() + seen).log()


seal(train(Coupled()))
