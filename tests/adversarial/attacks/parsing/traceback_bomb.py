# title = "a traceback of megabytes, with escapes in its message"
# expect = "crash"
# reason = "exited with code 1"
# layer = "log: lines of 4 KiB; sanitiser"
# policies = "allowed"
# broken_wall = "no-sanitiser"
# success = "leak"

# --- honest part ---
train(Unigram())


def deeper(level):
    try:
        raise ValueError("\x1b[2J\u202e" + "x" * 10_000) if level == 0 else KeyError(level)
    except Exception as error:
        if level < 200:
            deeper(level + 1)
        raise RuntimeError("\x1b]0;owned\x07" * 1000) from error


deeper(0)
