# title = "math.log that returns more, so that nats become fewer bits"
# expect = "no-effect"
# layer = "referee: nothing of the candidate's runs where the score is made"
# policies = "refused: calls | contract | imports"
# broken_wall = "scored-by-itself"
# success = "forged"

# --- honest part ---
import math

model = train(Unigram())
math.log = lambda *_: 1000.0
seal(model)
