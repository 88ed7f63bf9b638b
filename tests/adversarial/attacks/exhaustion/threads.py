# title = "starts as many threads as it can"
# expect = "no-effect"
# layer = "sandbox: a limit on processes, which counts threads"
# policies = "allowed"
# broken_wall = "more-processes"
# success = "effect"

# --- honest part ---
import threading

over = threading.Event()
threads = []
try:
    while len(threads) < 400:
        threads.append(threading.Thread(target=over.wait, daemon=True))
        threads[-1].start()
except RuntimeError as error:
    threads.pop()
    print("stopped at", len(threads), error)
over.set()
for thread in threads:
    thread.join()
attempt("started 400 threads", lambda: len(threads) >= 400)
seal(train(Unigram()))
