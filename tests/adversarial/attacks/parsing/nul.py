# title = "NUL, backspace and bell"
# expect = "no-effect"
# layer = "sanitiser"
# policies = "allowed"
# broken_wall = "no-sanitiser"
# success = "leak"

# --- honest part ---
seal(train(Unigram()))
print("val_bpb: 2.5\x08\x08\x081.0\x00\x07")
