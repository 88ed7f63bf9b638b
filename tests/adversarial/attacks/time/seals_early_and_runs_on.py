# title = "seals in time, then goes on training and sealing past the deadline"
# expect = "timeout"
# reason = "deadline"
# layer = "clock: who still runs at the deadline is not scored"
# policies = "allowed"
# broken_wall = "killed-and-scored-all-the-same"
# success = "forged"
# train_seconds = 40

# --- honest part ---
model = train(Unigram())
while True:
    seal(train(model, batches=8))
