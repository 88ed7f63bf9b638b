# title = "weights of a negative size"
# expect = "invalid"
# reason = "impossible shape"
# layer = "referee: sizes are whole and bounded"
# policies = "refused: imports | calls"
# broken_wall = "reader-as-in-c + referee-in-one-process"
# success = "fault: ended by SIG"

# --- honest part ---
# --- header of weights ---
def negative(header):
    (name,) = header
    header[name]["shape"] = [-VOCABULARY]


seal(train(Unigram()))
rewrite(negative)
