"""From photos to portraits: measure, link, decide, render."""

USUAL_LIMITS = {
    "faces": "voxdata.faces.rules:usual_limits",
    "embedder": "voxdata.faces.measures.embedding:usual_limits",
}
RECIPE_CHECKS = {"faces": "voxdata.faces.rules:refuse_unmeasured"}
