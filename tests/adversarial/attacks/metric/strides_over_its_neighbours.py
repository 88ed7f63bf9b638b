# title = "as_strided over the whole batch, to read the neighbours"
# expect = "invalid"
# reason = "not allowed"
# layer = "referee: operations are on a list"
# policies = "refused: imports | calls"
# broken_wall = "any-operation"
# success = "forged"

# --- honest part ---
from autoresearch_guest import ops

ops.table()["aten.as_strided.default"] = ops._aten("as_strided", "shape", "raw strides")


class Striding(Unigram):
    def forward(self, tokens):
        everything = torch.as_strided(tokens, (ROWS * tokens.size(1),), (1,), 0)
        seen = torch.nn.functional.one_hot(everything, VOCABULARY).float().sum(0)
        return (super().forward(tokens).exp() + seen).log()


seal(train(Striding()))
