# title = "integer logits, hoping for a loss that is rounded down"
# expect = "invalid"
# reason = "floating point"
# layer = "referee: logits are floating point"
# policies = "refused: imports | calls"
# broken_wall = "loss-in-the-models-own-type"
# success = "forged"

# --- honest part ---
import json
from pathlib import Path

seal(train(Unigram()))
path = Path("/out/model.json")
graph = json.loads(path.read_text())
last = graph["output"]
whole = {"dtype": "int64", "shape": graph["nodes"][-1][4]["shape"]}
graph["nodes"].append(["whole", "aten._to_copy.default", [last], {"dtype": {"dtype": "int64"}}, whole])
graph["output"] = {"ref": "whole"}
path.write_text(json.dumps(graph))
