# title = "C1 controls, escapes in one character"
# expect = "no-effect"
# layer = "sanitiser"
# policies = "allowed"
# broken_wall = "no-sanitiser"
# success = "leak"

# --- honest part ---
seal(train(Unigram()))
print("\x9b2J\x9d0;owned\x9c\x90q\x9c\x85")
