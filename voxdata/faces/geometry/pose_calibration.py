"""From fitted angles to AFLW2000's, for `pose.py`: fitted by `benchmarks/fit_pose.py` on half of AFLW2000.

A cubic corrects what grows with the angle. What is left of the yaw error depends on the face: the mesh turns the face
with its jaw and cheeks, the annotation with its nose. A ridge regression on the outline (`pose.sideways_shape`) takes
up what it can; the same for pitch and roll gained less than a standard error in cross-validation and is left out.
"""

from __future__ import annotations

import numpy as np

# angle + offset + linear * p + cubic * p^3 with p the fitted angle / 45 deg, in deg: (offset, linear, cubic).
# Beyond 60 deg the correction stays what it is there. Roll needs none: turning the photo turns the fit.
CALIBRATION = {"yaw": (0.0, 1.387, 5.287), "pitch": (-0.071, 0.882, 10.767)}
CALIBRATION_UNIT_DEG = 45.0
CALIBRATION_SPAN_DEG = 60.0

# degrees of yaw per unit of `pose.sideways_shape`, in the order of `pose.MIDLINE_MM` and `pose.PAIRS_MM`
YAW_MIDLINE = {
    168: 8.61,
    6: 4.42,
    197: -2.22,
    195: -7.18,
    5: -12.01,
    4: -15.43,
    1: -12.23,
    10: 4.04,
    151: -3.95,
    9: -0.51,
    8: 5.89,
    2: 33.85,
    152: 8.35,
}
# (mean x, half the difference in height)
YAW_PAIRS = {
    (33, 263): (16.44, -1.54),
    (133, 362): (-14.42, -25.042),
    (234, 454): (10.9, 17.536),
    (127, 356): (10.56, 8.242),
    (93, 323): (10.54, 16.473),
    (21, 251): (-16.09, -15.661),
    (54, 284): (-16.28, -13.635),
    (103, 332): (-7.16, -2.413),
    (67, 297): (2.05, 3.098),
    (109, 338): (5.2, 1.603),
    (162, 389): (-4.76, -4.873),
    (58, 288): (-10.64, 4.083),
    (132, 361): (5.63, 11.449),
    (48, 278): (10.39, -2.938),
    (98, 327): (23.9, -3.43),
    (116, 345): (9.74, -2.713),
    (117, 346): (-7.62, 48.118),
    (50, 280): (3.27, -6.248),
    (205, 425): (6.85, -6.302),
    (123, 352): (7.24, -3.039),
    (147, 376): (2.29, -4.66),
    (187, 411): (5.19, -7.099),
    (207, 427): (12.05, -7.431),
    (172, 397): (-16.71, -0.756),
    (136, 365): (-15.11, -3.475),
    (150, 379): (-9.2, -6.789),
    (71, 301): (0.92, -16.361),
    (139, 368): (7.18, -9.583),
}
YAW_WEIGHTS = np.array(
    [*YAW_MIDLINE.values(), *(x for x, _ in YAW_PAIRS.values()), *(y for _, y in YAW_PAIRS.values())]
)
