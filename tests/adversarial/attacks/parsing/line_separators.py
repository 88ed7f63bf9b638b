# title = "U+2028, U+2029, vertical tab and form feed, lines that only some programs see"
# expect = "no-effect"
# layer = "sanitiser"
# policies = "allowed"
# broken_wall = "no-sanitiser"
# success = "leak"

# --- honest part ---
seal(train(Unigram()))
print("one\u2028two\u2029three\x0bfour\x0cfive\x1csix")
