"""From samples to log-mel features: a file per family of front ends, registered here and as an entry point."""

FRONT_ENDS = {
    "psf40": "voxdata.speech.front_ends.psf:PSF40",
    "sphinx64": "voxdata.speech.front_ends.sphinx:SPHINX64",
    "torch40": "voxdata.speech.front_ends.plain:TORCH40",
    "torch64": "voxdata.speech.front_ends.plain:TORCH64",
}
