# title = "a graph of a million nodes"
# expect = "invalid"
# reason = "model.json has"
# layer = "referee: caps on bytes and nodes"
# policies = "refused: imports | calls"
# broken_wall = "no-caps"
# score_seconds = 60
# success = "invalid: ran out of memory || invalid: did not end within || accepted"

# --- honest part ---
import json
from pathlib import Path

seal(train(Unigram()))
path = Path("/out/model.json")
graph = json.loads(path.read_text())
node = json.dumps([*["NAME"], *graph["nodes"][0][1:]], separators=(",", ":"))
(head, tail) = json.dumps(graph, separators=(",", ":")).split('"nodes":[', 1)
many = ",".join(node.replace("NAME", f"x{number}") for number in range(250_000))
path.write_text(head + '"nodes":[' + many + "," + tail)
