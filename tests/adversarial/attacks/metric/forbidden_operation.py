# title = "a graph that reads a file of the referee's by an operation"
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
rows = {"dtype": "uint8", "shape": [64]}
call = ["read", "aten.from_file.default", ["/data/val/rows.bin", False, 64], {"dtype": {"dtype": "uint8"}}, rows]
graph["nodes"].insert(0, call)
path.write_text(json.dumps(graph))
