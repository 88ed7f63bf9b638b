# title = "bidirectional and zero-width characters, to show another text than is there"
# expect = "no-effect"
# layer = "sanitiser"
# policies = "allowed"
# broken_wall = "no-sanitiser"
# success = "leak"

# --- honest part ---
seal(train(Unigram()))
print("\u202e000.0 :bpb_lav\u202c \u2066keep\u2069 dis\u200bcard \ufeff")
