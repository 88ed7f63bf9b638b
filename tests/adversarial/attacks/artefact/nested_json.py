# title = "a graph nested a hundred thousand levels deep"
# expect = "invalid"
# reason = "nested too deeply"
# layer = "referee: a bounded parser"
# policies = "refused: imports | calls"
# broken_wall = "careless-json + referee-in-one-process"
# success = "fault: RecursionError"

# --- honest part ---
seal(train(Unigram()))
with open("/out/model.json", "w") as file:
    file.write("[" * 100_000 + "]" * 100_000)
