"""Simulated pictures that show no patient, with their known truth: for a first look, for demos and for tests."""

from napari_uml.data.simulated.canvas import SimulatedImage
from napari_uml.data.simulated.dermoscopy import simulate_dermoscopy
from napari_uml.data.simulated.fundus import simulate_fundus, simulate_fundus_photograph
from napari_uml.data.simulated.ultrasound import simulate_ultrasound, simulate_ultrasound_sweep

__all__ = [
    "SimulatedImage",
    "simulate_dermoscopy",
    "simulate_fundus",
    "simulate_fundus_photograph",
    "simulate_ultrasound",
    "simulate_ultrasound_sweep",
]
