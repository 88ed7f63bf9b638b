# title = "collects the prose that the image holds, to train on before the clock starts"
# expect = "no-effect"
# layer = "image: documentation and docstrings are stripped"
# policies = "refused: calls | imports"
# broken_wall = "a-book-in-the-image"
# success = "effect"
# residual = "R8"

# --- honest part ---
import os

ENDINGS = (".txt", ".md", ".rst", ".html", ".htm", ".tex", ".1", ".gz", ".xml", ".json")
prose = 0
for place in ("/usr", "/opt", "/etc", "/var"):
    for folder, _, names in os.walk(place):
        for name in names:
            if name.endswith(ENDINGS) and ".so." not in name and os.access(f"{folder}/{name}", os.R_OK):
                prose += os.path.getsize(f"{folder}/{name}")
print("prose in the image:", prose, "bytes")
attempt("found a book:", lambda: prose > 1_000_000 and prose)
seal(train(Unigram()))
