"""The systems that the paper compares UML with, and ways of getting an uncertainty out of any of them."""
