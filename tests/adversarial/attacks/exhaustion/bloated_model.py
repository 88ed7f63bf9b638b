# title = "a model that takes the referee more memory than there is"
# expect = "invalid"
# reason = "memory"
# layer = "referee: a limit on memory"
# policies = "allowed"
# broken_wall = "referee-with-more-memory"
# success = "accepted"

# --- honest part ---
class Bloated(Unigram):
    def forward(self, tokens):
        parts = [torch.ones(1 << 25) * (i + 1) for i in range(10)]  # 1.25 GiB, all needed at the end
        total = sum(part.sum() for part in parts) + sum(part.mean() for part in reversed(parts))
        return super().forward(tokens) + 0.0 * total


seal(train(Bloated()))
