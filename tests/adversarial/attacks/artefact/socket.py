# title = "a socket in place of the weights"
# expect = "invalid"
# reason = "cannot be opened"
# layer = "referee: regular files only"
# policies = "refused: imports"
# broken_wall = "trusting-files"
# success = "fault"

# --- honest part ---
import os
import socket

seal(train(Unigram()))
os.unlink("/out/model.safetensors")
socket.socket(socket.AF_UNIX).bind("/out/model.safetensors")
