# title = "another module under the name prepare in sys.modules"
# expect = "invalid"
# reason = "model.json"
# layer = "referee: nothing of the candidate's runs where the score is made"
# policies = "refused: calls | imports | contract"
# broken_wall = "scored-by-itself"
# success = "forged"

# --- honest part ---
import sys
import types

model = train(Unigram())
sys.modules["prepare"] = types.SimpleNamespace(evaluate_bpb=lambda *_: 0.5)
import prepare

seal(model)
