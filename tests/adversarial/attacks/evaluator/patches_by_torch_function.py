# title = "a tensor subclass whose methods lie, returned by the model"
# expect = "crash"
# reason = "SealError"
# layer = "sealing: a model is pure tensor operations"
# policies = "allowed"
# broken_wall = "scored-by-itself"
# success = "forged"

# --- honest part ---
class Liar(torch.Tensor):
    @classmethod
    def __torch_function__(cls, function, types, arguments=(), named=None):
        answer = super().__torch_function__(function, types, arguments, named or {})
        return answer * 0.0 - 5.0 if function is torch.Tensor.log else answer


class Lying(Unigram):
    def forward(self, tokens):
        return super().forward(tokens).as_subclass(Liar)


seal(train(Lying()))
