"""Draw the picture that `darkshare demo` looks at: three shapes and two lines of text.

    python photo.py photo.png

The fonts are OpenCV 5's; OpenCV 4 draws others.
"""

from __future__ import annotations

import sys

import cv2
import numpy as np

image = np.full((480, 480, 3), 235, np.uint8)
cv2.circle(image, (120, 110), 60, (60, 90, 200), -1, cv2.LINE_AA)
cv2.rectangle(image, (270, 50), (390, 170), (170, 120, 40), -1)
cv2.fillPoly(image, [np.array([[240, 200], [170, 310], [310, 310]], np.int32)], (80, 160, 60), cv2.LINE_AA)
cv2.putText(image, "two tasks", (60, 380), cv2.FONT_HERSHEY_SIMPLEX, 1.3, (40, 40, 40), 3, cv2.LINE_AA)
cv2.putText(image, "one pass", (220, 440), cv2.FONT_HERSHEY_SIMPLEX, 1.3, (150, 40, 90), 3, cv2.LINE_AA)
cv2.imwrite(sys.argv[1], image)
