"""The names that `savs` exports."""

import subprocess
import sys

import savs
from savs import errors


def test_every_exported_name_can_be_imported() -> None:
    assert [name for name in savs.__all__ if getattr(savs, name).__name__ != name] == []


def test_the_errors_that_the_library_raises_are_exported() -> None:
    kinds = ("ManifestError", "ItemError", "ModelError", "FitError", "ArtifactError", "ArtifactNotFound")
    for name in (*kinds, "StorageError", "NotFound", "SettingsError", "SavsError"):
        assert getattr(savs, name) is getattr(errors, name) and name in savs.__all__


def test_a_sample_is_made_without_loading_heavy_libraries() -> None:
    code = "import savs, sys; savs.Sample(media='a.jpg'); print({'torch', 'numpy', 'PIL'} & {*sys.modules})"

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"
