"""Prediction: devices, noise, and the predictor (numpy in, numpy out)."""
