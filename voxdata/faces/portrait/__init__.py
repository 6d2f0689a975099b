"""From a face in a photo to a portrait on white."""
