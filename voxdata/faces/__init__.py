"""From photos to portraits: measure, link, decide, render."""

RECIPE_CHECKS = {"faces": "voxdata.faces.rules:refuse_unmeasured"}
