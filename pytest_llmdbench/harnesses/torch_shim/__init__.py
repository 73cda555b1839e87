"""Stands in for PyTorch in the environments of load programs that use it as a data loader only.

The folder goes onto ``PYTHONPATH`` of such a program, and so ``import torch`` finds :mod:`torch_shim.torch`: the few
names of its data loader instead of a gigabyte of tensors and graphics drivers. It is written here, for no part of
PyTorch is in it. Programs that look for PyTorch to compute with (the tokenizers' library, data sets) have to be told
that there is none: ``USE_TORCH=0``.
"""
