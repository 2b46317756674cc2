"""The docks in napari: a session without Qt, panels that show it, and a worker thread that predicts."""
