"""From a face in a photo to a portrait on white; the mattings are registered here and as entry points."""

MATTINGS = {
    "deeplabv3": "voxdata.faces.portrait.deeplab:DEEPLABV3",
    "mediapipe-selfie": "voxdata.faces.portrait.selfie:MEDIAPIPE_SELFIE",
}
