# title = "weights whose header claims 100 MB"
# expect = "invalid"
# reason = "claims"
# layer = "referee: a cap on the header, compared with the file"
# policies = "refused: imports | calls"
# broken_wall = "reader-as-in-c + referee-in-one-process"
# success = "fault: ended by SIG"

# --- honest part ---
import struct

seal(train(Unigram()))
with open("/out/model.safetensors", "r+b") as file:
    file.write(struct.pack("<Q", 100 << 20))
