"""Prediction: devices, noise, the predictor (numpy in, numpy out), and what is written to disk of its answers."""
