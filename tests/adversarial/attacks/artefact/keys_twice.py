# title = "a graph in which a key stands twice, one for each reader"
# expect = "invalid"
# reason = "twice"
# layer = "referee: a key stands once"
# policies = "refused: imports | calls"
# broken_wall = "careless-json"
# success = "accepted"

# --- honest part ---
seal(train(Unigram()))
with open("/out/model.json") as file:
    text = file.read()
with open("/out/model.json", "w") as file:
    file.write('{"vocab_size":1,' + text[1:])
