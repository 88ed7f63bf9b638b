# title = "trains on made-up tasks during the free start-up"
# expect = "no-effect"
# merit = "own"
# layer = "clock: only what the baseline needs is free"
# policies = "allowed"
# broken_wall = "none: it is allowed as long as it is no slower than the baseline's own start-up"
# residual = "R8"

# --- honest part ---
model = Unigram()
made_up = torch.randint(VOCABULARY, (ROWS, prepare.MAX_SEQ_LEN), generator=torch.Generator().manual_seed(1))
for _ in range(20):
    loss = torch.nn.functional.cross_entropy(model(made_up).flatten(0, 1), made_up.flatten())
    loss.backward()
    model.zero_grad()
seal(train(model))
