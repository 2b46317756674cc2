"""Images in: reading files, the dataset folder, importers of public data sets, augmentation."""
