# title = "takes all memory of the GPU"
# expect = "no-effect"
# layer = "sandbox: without a GPU there is none; with one, one trial at a time has it"
# policies = "allowed"
# broken_wall = "none: it needs a GPU, which the attacks do without"

# --- honest part ---
attempt("took the GPU's memory", lambda: torch.empty(1 << 40, device="cuda").numel())
seal(train(Unigram()))
