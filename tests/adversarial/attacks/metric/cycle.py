# title = "a graph that refers to itself"
# expect = "invalid"
# reason = "leads nowhere"
# layer = "referee: the graph is verified before it runs"
# policies = "refused: imports | calls"
# broken_wall = "no-verification"
# success = "invalid: failed"

# --- honest part ---
import json
from pathlib import Path

seal(train(Unigram()))
path = Path("/out/model.json")
graph = json.loads(path.read_text())
graph["nodes"][0][2][0] = {"ref": graph["nodes"][-1][0]}
path.write_text(json.dumps(graph))
