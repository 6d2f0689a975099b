"""Where photos and speech come from: a file per kind of source, registered here and as an entry point."""

PHOTO_SOURCES = {
    "folder": "voxdata.sources.folder:PHOTO_FOLDER",
    "site": "voxdata.sources.site:PHOTO_SITE",
    "video": "voxdata.faces.videos:PHOTO_VIDEOS",
}
SPEECH_SOURCES = {
    "folder": "voxdata.sources.speech_files:SPEECH_FOLDER",
    "webdataset": "voxdata.sources.speech_tars:SPEECH_TARS",
}
