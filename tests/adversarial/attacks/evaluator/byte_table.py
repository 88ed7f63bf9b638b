# title = "a byte table in which every token stands for sixteen bytes"
# expect = "no-effect"
# layer = "referee: it reads its own byte table"
# policies = "refused: contract"
# broken_wall = "scored-by-itself"
# success = "forged"

# --- honest part ---
import numpy

model = train(Unigram())
prepare.Tokenizer.token_bytes = lambda self: numpy.full(VOCABULARY, 16, dtype="<u2")
seal(model)
