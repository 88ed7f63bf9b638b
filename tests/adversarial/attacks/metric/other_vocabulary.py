# title = "a model of two tokens only, so that every guess is easy"
# expect = "invalid"
# reason = "vocabulary"
# layer = "referee: it knows the vocabulary"
# policies = "refused: contract"
# broken_wall = "any-vocabulary"
# success = "forged"

# --- honest part ---
class Two(Unigram):
    def forward(self, tokens):
        return self.logits[:2].expand(*tokens.shape, 2) * 0.0 + 0.0 * tokens.unsqueeze(-1)


model = train(Two())
prepare.VOCAB_SIZE = 2
seal(model)
