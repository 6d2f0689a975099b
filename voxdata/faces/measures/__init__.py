"""What is measured of a face: a file per measure, named like it, with an object `MEASURE`."""

from pkgutil import iter_modules

MEASURES = {module.name: f"{__name__}.{module.name}:MEASURE" for module in iter_modules(__path__)}
