# title = "a model that takes the referee minutes"
# expect = "invalid"
# reason = "out of time"
# layer = "referee: a limit of time"
# policies = "allowed"
# broken_wall = "patient-referee"
# success = "accepted"
# score_seconds = 20

# --- honest part ---
class Slow(Unigram):
    def forward(self, tokens):
        square = torch.ones(1200, 1200) / 1200
        x = square
        for _ in range(120):
            x = x @ square
        return super().forward(tokens) + 0.0 * x.sum()


seal(train(Slow()))
