"""The same proofs on the GPU: on a stand-in that runs the kernels on the CPU, and on a real one."""
