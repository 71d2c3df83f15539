"""The network's memory-bound work in few passes: Triton kernels, and twins that define them."""
