# title = "counts events of other processes by perf"
# expect = "no-effect"
# layer = "seccomp; sandbox: no capabilities"
# policies = "refused: imports | calls"
# broken_wall = "root-with-capabilities"
# success = "effect"

# --- honest part ---
# --- system calls ---
import struct

SOFTWARE_CLOCK = ctypes.create_string_buffer(struct.pack("2IQ", 1, 120, 0) + bytes(104))
attempt("counts on processor 0", lambda: system_call("perf_event_open", SOFTWARE_CLOCK, -1, 0, -1, 0))
seal(train(Unigram()))
