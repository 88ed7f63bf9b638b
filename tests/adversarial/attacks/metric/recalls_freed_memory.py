# title = "empty, to recall what an earlier pass left in memory"
# expect = "invalid"
# reason = "not allowed"
# layer = "referee: operations are on a list"
# policies = "refused: imports | calls"
# broken_wall = "any-operation"
# success = "accepted"

# --- honest part ---
import json
from pathlib import Path

seal(train(Unigram()))
path = Path("/out/model.json")
graph = json.loads(path.read_text())
shape = {"dtype": "float32", "shape": [1024]}
graph["nodes"].insert(0, ["recalled", "aten.empty.memory_format", [[1024]], {}, shape])
path.write_text(json.dumps(graph))
