"""Where photos and speech come from: a file per kind of source, registered here and as an entry point."""

PHOTO_SOURCES = {
    "folder": "voxdata.sources.folder:PHOTO_FOLDER",
    "image-api": "voxdata.sources.image_api:IMAGE_API",
    "list": "voxdata.sources.photo_list:PHOTO_LIST",
    "openverse": "voxdata.sources.openverse:OPENVERSE",
    "site": "voxdata.sources.site:PHOTO_SITE",
    "video": "voxdata.faces.videos:PHOTO_VIDEOS",
    "webdataset": "voxdata.sources.photo_tars:PHOTO_TARS",
    "wikimedia": "voxdata.sources.wikimedia:WIKIMEDIA",
}
SPEECH_SOURCES = {
    "folder": "voxdata.sources.speech_files:SPEECH_FOLDER",
    "webdataset": "voxdata.sources.speech_tars:SPEECH_TARS",
}
