# title = "weights whose size overflows 64 bits"
# expect = "invalid"
# reason = "elements"
# layer = "referee: sizes are multiplied without overflow"
# policies = "refused: imports | calls"
# broken_wall = "reader-as-in-c + referee-in-one-process"
# success = "fault: ended by SIG"

# --- honest part ---
# --- header of weights ---
def overflowing(header):
    (name,) = header
    header[name]["shape"] = [1 << 33, 1 << 33, VOCABULARY]


seal(train(Unigram()))
rewrite(overflowing)
