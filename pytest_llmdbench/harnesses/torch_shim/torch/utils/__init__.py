"""See :mod:`torch_shim`."""
