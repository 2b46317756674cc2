"""The UML network, its blocks and its losses (PyTorch modules and functions, tensors in and out)."""
