"""How good a model is and what it measured: metrics with intervals, the metrics record, measurements."""
