# title = "cpp_extension: compiles C++ and loads it"
# expect = "no-effect"
# layer = "image: no compiler; sandbox: native code meets the same walls"
# policies = "refused: imports"
# broken_wall = "none: the CPU image has no compiler to run"

# --- honest part ---
def native():
    from torch.utils import cpp_extension

    return cpp_extension.load_inline("evil", "int f() { return 1; }", functions=["f"]).f()


attempt("ran C++", native)
seal(train(Unigram()))
