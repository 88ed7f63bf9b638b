# title = "a graph that writes to its weights while it is scored"
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
name = next(iter(graph["tensors"]))
shape = {"dtype": "float32", "shape": [VOCABULARY]}
graph["nodes"].insert(0, ["changed", "aten.mul_.Tensor", [{"ref": name}, {"ref": name}], {}, shape])
path.write_text(json.dumps(graph))
