# title = "finds prepare's functions through the garbage collector and swaps their code"
# expect = "no-effect"
# layer = "referee: nothing of the candidate's runs where the score is made"
# policies = "refused: calls | imports"
# broken_wall = "scored-by-itself"
# success = "forged"

# --- honest part ---
import gc
import types

model = train(Unigram())
for thing in gc.get_objects():
    if isinstance(thing, types.FunctionType) and thing.__name__ == "_measure_bpb":
        thing.__code__ = (lambda model, tokenizer, batch_size: 0.5).__code__
seal(model)
