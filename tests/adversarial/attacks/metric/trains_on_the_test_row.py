# title = "adapts to the whole row that it is scored on, its end included"
# expect = "invalid"
# reason = "looks ahead"
# audit_rows = 400
# layer = "referee: audit"
# policies = "allowed"
# broken_wall = "no-audit"
# success = "forged"

# --- honest part ---
class Adapting(Unigram):
    def forward(self, tokens):
        row = torch.nn.functional.one_hot(tokens, VOCABULARY).float().sum(1, keepdim=True)
        return (super().forward(tokens).exp() + row).log()


seal(train(Adapting()))
