"""Public data sets in their publishers' folders, made into dataset folders."""
