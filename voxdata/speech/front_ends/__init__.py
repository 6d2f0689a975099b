"""From samples to what models hear, log-mels or a network's vectors: a file per family of front ends, registered here
and as an entry point."""

FRONT_ENDS = {
    "openvoice_speaker": "voxdata.speech.front_ends.openvoice:OPENVOICE_SPEAKER",
    "psf40": "voxdata.speech.front_ends.psf:PSF40",
    "resemblyzer": "voxdata.speech.front_ends.resemblyzer:RESEMBLYZER",
    "sphinx64": "voxdata.speech.front_ends.sphinx:SPHINX64",
    "torch40": "voxdata.speech.front_ends.plain:TORCH40",
    "torch64": "voxdata.speech.front_ends.plain:TORCH64",
}
