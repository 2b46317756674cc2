"""What can go wrong in the world outside the program; a bad argument is a plain `ValueError` instead.

Nothing here derives from `RuntimeError`: generator workers of superqt swallow that one silently.
"""


class UMLError(Exception):
    """Anything that a user can do something about; its text is one sentence fit to be shown as it is."""


class ImageError(UMLError):
    """A file is no image, is damaged, or holds something that cannot be analysed."""


class DatasetError(UMLError):
    """A dataset folder has problems; all of them are listed at once.

    Parameters
    ----------
    problems
        One sentence a problem.
    """

    def __init__(self, *problems: str) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


class WeightsError(UMLError):
    """A weights file is missing, damaged, of another format, or does not fit the network."""


class DownloadError(WeightsError):
    """Weights could not be fetched."""


class DeviceError(UMLError):
    """The device asked for is not there."""


class MemoryLimitError(UMLError):
    """The device ran out of memory, even with the smallest batch."""


class DivergedError(UMLError):
    """The training loss became infinite or not a number; the last good checkpoint is kept."""
