# title = "OSC: the terminal's title, its clipboard, a link"
# expect = "no-effect"
# layer = "sanitiser"
# policies = "allowed"
# broken_wall = "no-sanitiser"
# success = "leak"

# --- honest part ---
seal(train(Unigram()))
print("\x1b]0;owned\x07\x1b]52;c;cm0gLXJmIH4=\x07\x1b]8;;http://192.0.2.1\x1b\\click\x1b]8;;\x1b\\")
