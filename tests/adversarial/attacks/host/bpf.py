# title = "loads a map into the kernel by bpf"
# expect = "no-effect"
# layer = "seccomp; sandbox: no capabilities"
# policies = "refused: imports | calls"
# broken_wall = "root-with-capabilities"
# success = "effect"

# --- honest part ---
# --- system calls ---
import struct

ARRAY = ctypes.create_string_buffer(struct.pack("5I", 2, 4, 8, 1, 0) + bytes(100))
attempt("made a bpf map", lambda: system_call("bpf", 0, ARRAY, 72))
seal(train(Unigram()))
