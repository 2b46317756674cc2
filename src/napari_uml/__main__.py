"""`python -m napari_uml` is the command line."""

from napari_uml.cli import main

main()
