"""Serve the stylesheets of the pages."""

from pathlib import Path

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles


def mount_static_files(app: FastAPI) -> None:
    """Serve the folder beside this module; it holds nothing that is not public."""
    app.mount("/static", StaticFiles(directory=Path(__file__).parent / "static"), name="static")
