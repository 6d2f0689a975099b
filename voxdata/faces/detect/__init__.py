"""Detectors and landmarks: a file per backend, registered here and as an entry point."""

LANDMARK_BACKENDS = {
    "face-alignment": "voxdata.faces.detect.fan:FACE_ALIGNMENT",
    "mediapipe": "voxdata.faces.detect.mediapipe_wheel:MEDIAPIPE",
    "mediapipe-tasks": "voxdata.faces.detect.tasks:MEDIAPIPE_TASKS",
}
