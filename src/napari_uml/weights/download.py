"""Fetching registered weights: several addresses, resume after a broken transfer, hash verified by pooch."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pooch

from napari_uml.errors import DownloadError
from napari_uml.weights.registry import RegisteredModel, cache_folder, load_registry, local_path, unknown_model

if TYPE_CHECKING:
    import requests

Progress = Callable[[int, int], None]
"""Called with the bytes that are here and the bytes in all."""

RETRIES: Final = 2
"""How often an address is tried again when its transfer breaks, times out or brings the wrong bytes."""

_CHUNK = 1 << 16  # also the most that a broken transfer loses
_TIMEOUT = (10.0, 30.0)  # seconds to connect, and between two pieces of the answer
_BUSY = (408, 429)  # client errors that may pass


def fetch(name: str, progress: Progress | None = None) -> Path:
    """Download the weights of a registered model into the cache folder, unless the right file is here already.

    What arrived before a transfer broke is kept in a `.part` file, and the next try or the next call asks for the rest
    only. The file appears under its name when its SHA-256 is right.

    Parameters
    ----------
    name
        A registered model.
    progress
        Called after every piece in the calling thread. An exception that it raises cancels the download.

    Returns
    -------
    The verified file.

    Raises
    ------
    ValueError
        When no model of that name is registered.
    DownloadError
        When no address brought the right file; says what went wrong at each and how to do without the network.
    """
    models = load_registry().models
    if name not in models:
        raise unknown_model(name, list(models))
    model = models[name]
    if path := local_path(model):
        return path
    failures = []
    for url in model.urls:
        try:
            return _fetch_from(url, model, progress or _no_progress)
        except DownloadError as error:
            failures.append(f"{url} {error}")
    raise DownloadError(_give_up(name, model, failures))


def _fetch_from(url: str, model: RegisteredModel, progress: Progress) -> Path:
    """Download from one address; the text of an error says what this address did."""
    import requests

    folder = cache_folder()
    download = partial(_download, part=folder / f"{model.file}.part", size=model.size, progress=progress)
    source = pooch.create(
        path=folder,
        base_url="",
        registry={model.file: f"sha256:{model.sha256}"},
        urls={model.file: url},
        retry_if_failed=RETRIES,
    )
    try:
        return Path(source.fetch(model.file, downloader=download))
    except requests.exceptions.RequestException as error:
        raise DownloadError(_reason(error)) from error
    except OSError as error:
        raise DownloadError(f"cannot be saved in {folder}: {error.strerror or error}") from error
    except ValueError as error:  # pooch's word for a wrong hash
        raise DownloadError("sends a file with the wrong SHA-256") from error


def _download(url: str, target: str, _: pooch.Pooch, *, part: Path, size: int, progress: Progress) -> None:
    """A downloader for pooch that completes a `.part` file and then moves it to `target`."""
    have = part.stat().st_size if part.exists() else 0
    if have < size:
        _receive(url, part, have, size, progress)
    os.replace(part, target)


def _receive(url: str, part: Path, have: int, size: int, progress: Progress) -> None:
    import requests

    headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={have}-"} if have else {})}
    with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT) as answer:
        have = _start(answer, have, size)
        with part.open("ab" if have else "wb") as file:
            for chunk in answer.iter_content(_CHUNK):
                file.write(chunk[: size - have])
                have += len(chunk)
                if have > size:
                    raise DownloadError(f"sends more than the {size} bytes of the file")
                progress(have, size)
    if have < size:
        raise requests.exceptions.ConnectionError("the answer ended early")


def _start(answer: requests.Response, have: int, size: int) -> int:
    """The byte of the file that the answer starts at: `have`, or 0 from a server that cannot resume."""
    if 400 <= answer.status_code < 500 and answer.status_code not in _BUSY:
        raise DownloadError(f"answers {answer.status_code} ({answer.reason})")
    answer.raise_for_status()
    start = have if answer.status_code == 206 else 0
    if start and not answer.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
        raise DownloadError("answers with another part of the file than the one asked for")
    length = answer.headers.get("Content-Length", "")
    if length.isdecimal() and start + int(length) != size:
        raise DownloadError(f"has a file of {start + int(length)} bytes, expected {size}")
    return start


def _reason(error: requests.exceptions.RequestException) -> str:
    from requests import exceptions

    if isinstance(error, exceptions.ProxyError):
        return "cannot be reached through the proxy that HTTPS_PROXY or the system names"
    if isinstance(error, exceptions.SSLError):
        return "has a certificate that is not trusted (behind an inspecting proxy, set REQUESTS_CA_BUNDLE)"
    if isinstance(error, exceptions.Timeout):
        return "does not answer in time"
    if error.response is not None:
        return f"answers {error.response.status_code} ({error.response.reason})"
    if isinstance(error, exceptions.ChunkedEncodingError):
        return "broke off the transfer"
    return "cannot be reached, or broke off the transfer"


def _give_up(name: str, model: RegisteredModel, failures: list[str]) -> str:
    why = "; ".join(failures) or "the registry has no address for it"
    return (
        f"Could not download {name!r}: {why}. Get {model.file} ({model.size / 1e6:.1f} MB) in another way and put it "
        f"into {cache_folder()} by hand."
    )


def _no_progress(_have: int, _size: int) -> None:
    return
