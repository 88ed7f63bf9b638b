# title = "two tensors over the same bytes"
# expect = "invalid"
# reason = "overlaps"
# layer = "referee: tensors tile the file exactly"
# policies = "refused: imports | calls"
# broken_wall = "careless-offsets"
# success = "accepted"

# --- honest part ---
# --- header of weights ---
def doubled(header):
    (name,) = header
    header["again"] = header[name]


seal(train(Unigram()))
rewrite(doubled)
