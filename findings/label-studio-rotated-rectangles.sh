#!/usr/bin/env bash
# A rotated rectangle of Label Studio: each format it is exported to has another place for it.
#
# A rectangle of Label Studio has a rotation, about its upper left corner. One would guess that
# a format without rotation gets the upright box around it, or else the unrotated one. YOLO and
# VOC get the unrotated one, which for 90 degrees lies beside the object. COCO gets a box of
# other size and place: a strip turned by 90 degrees keeps its width and height, moved.
#
# Seen with label-studio-sdk 2.1.2, no warning. It matters because scratches lie at angles, and
# annotators turn rectangles along them: the boxes then lie on good surface, and a detector
# that finds the scratch is counted as wrong twice.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet label-studio-sdk==2.1.2

cd "$work"
"$work/env/bin/python" - <<'PYTHON'
import json
import math
import sys
from importlib.metadata import version
from pathlib import Path
from xml.etree import ElementTree

from label_studio_sdk.converter import Converter
from PIL import Image

WIDTH, HEIGHT = 200, 100
LABELS = """<View><Image name="image" value="$image"/><RectangleLabels name="label" toName="image">
<Label value="scratch"/></RectangleLabels></View>"""


def around(x, y, width, height, degrees):
    """The upright box around a rectangle turned clockwise about its upper left corner."""
    turn = math.radians(degrees)
    corners = [(0, 0), (width, 0), (width, height), (0, height)]
    xs = [x + a * math.cos(turn) - b * math.sin(turn) for a, b in corners]
    ys = [y + a * math.sin(turn) + b * math.cos(turn) for a, b in corners]
    return min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)


def exported(degrees):
    """x, y, width and height in pixels, by format."""
    value = dict(x=50, y=10, width=20, height=20, rotation=degrees, rectanglelabels=["scratch"])
    result = dict(
        id="r", type="rectanglelabels", from_name="label", to_name="image", value=value,
        original_width=WIDTH, original_height=HEIGHT, image_rotation=0,
    )
    task = {"id": 1, "data": {"image": "a.png"}, "annotations": [{"id": 1, "result": [result]}]}
    Path("tasks.json").write_text(json.dumps([task]))
    converter = Converter(LABELS, ".", download_resources=False)
    converter.convert_to_coco("tasks.json", f"coco-{degrees}", is_dir=False)
    converter.convert_to_yolo("tasks.json", f"yolo-{degrees}", is_dir=False)
    converter.convert_to_voc("tasks.json", f"voc-{degrees}", is_dir=False)
    coco = json.loads(Path(f"coco-{degrees}/result.json").read_text())["annotations"][0]["bbox"]
    (yolo,) = Path(f"yolo-{degrees}/labels").iterdir()
    x, y, width, height = (float(number) for number in yolo.read_text().split()[1:])
    (voc,) = Path(f"voc-{degrees}/Annotations").iterdir()
    box = ElementTree.parse(voc).find("object/bndbox")
    left, top, right, bottom = (int(box.find(k).text) for k in ("xmin", "ymin", "xmax", "ymax"))
    return {
        "COCO": coco,
        "YOLO": [(x - width / 2) * WIDTH, (y - height / 2) * HEIGHT, width * WIDTH, height * HEIGHT],
        "VOC": [left, top, right - left, bottom - top],
    }


Image.new("RGB", (WIDTH, HEIGHT), "grey").save("a.png")
print(f"label-studio-sdk {version('label-studio-sdk')}")
seen = []
for degrees in (0, 90):
    print(f"{degrees} degrees; the box around it: {[round(v) for v in around(100, 10, 40, 20, degrees)]}")
    for name, box in exported(degrees).items():
        seen.append([round(number) for number in box])
        print(f"  {name}: {seen[-1]}")
plain = [100, 10, 40, 20]
if seen != [plain, plain, plain, [60, 10, 40, 20], plain, plain]:
    sys.exit("changed: 90 degrees moved the COCO box to x = 60, and YOLO and VOC left it out")
PYTHON
