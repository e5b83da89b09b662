"""Mean average precision beside two packages of others, on random detections and on real images.

Where they differ from VOC's rules or from ours: mean-average-precision 2024.1.5 has boxes end at
their last pixel (right - left + 1), counts difficult objects in the recall, and confuses their
marks where an image has several detections; object-detection-metrics 0.4 has no difficult objects,
and an IoU of exactly the threshold is enough for it; both compare recalls with inexact tenths.  So
the tests name the last pixel, take the tenths a little lower, and leave out difficult objects and
the detections that VOC ignores because of them, by a loop of their own.  All else has to agree.

FCPTS_REF_TEST_VOC names a folder in VOC's layout with Annotations and JPEGImages.
"""

from __future__ import annotations

import os
from xml.etree import ElementTree

import numpy as np
import pytest

from fcpts_ref.data.sources import find_dataset
from fcpts_ref.data.voc import CLASSES
from fcpts_ref.detection.boxes import Detections, Objects
from fcpts_ref.detection.mean_average_precision import (
    average_precisions,
    mean_average_precision,
)

VOC = os.environ.get("FCPTS_REF_TEST_VOC")
TENTHS = np.arange(11) / 10 - 1e-9  # a recall of 3 of 10 objects reaches 0.3
MEASURES = ("11-point", "area")


def random_truth(rng, classes, difficult):
    n = int(rng.integers(0, 7))
    corner = rng.integers(1, 300, (n, 2))
    boxes = np.concatenate([corner, corner + rng.integers(5, 200, (n, 2))], axis=1).astype(float)
    return Objects(boxes, rng.integers(1, classes + 1, n), rng.random(n) < difficult)


def random_detections(rng, truth, classes):
    """Objects found once or more, moved a little, some under another class; and false ones."""
    rows = rng.integers(0, max(len(truth), 1), 3 * len(truth))
    sides = np.tile(truth.boxes[:, 2:] - truth.boxes[:, :2], 2)[rows]
    boxes = truth.boxes[rows] + 0.15 * rng.standard_normal((len(rows), 4)) * sides
    labels = np.where(rng.random(len(rows)) < 0.2, rng.integers(1, classes + 1), truth.labels[rows])
    false = random_truth(rng, classes, 0)
    boxes, labels = np.concatenate([boxes, false.boxes]), np.concatenate([labels, false.labels])
    boxes = np.concatenate([boxes[:, :2], np.maximum(boxes[:, 2:], boxes[:, :2] + 1)], axis=1)
    return Detections(boxes, rng.permutation(len(boxes)) / 100 + rng.random(), labels.astype(int))


def random_case(seed, difficult):
    rng = np.random.default_rng(seed)
    truths = [random_truth(rng, 4, difficult) for _ in range(12)]
    return [random_detections(rng, truth, 4) for truth in truths], truths, 4


def overlap(box, other):
    """The IoU of two boxes."""
    width, height = (min(box[i + 2], other[i + 2]) - max(box[i], other[i]) for i in (0, 1))
    common = max(width, 0) * max(height, 0)
    area = sum((b[2] - b[0]) * (b[3] - b[1]) for b in (box, other))
    return common / (area - common)


def without_difficult(detections, truths):
    """The same without difficult objects and the detections that overlap one of them most."""
    kept = []
    for found, truth in zip(detections, truths, strict=True):
        good = []
        for box, label in zip(found.boxes, found.labels, strict=True):
            rows = np.flatnonzero(truth.labels == label)
            best = max(rows, key=lambda row: overlap(box, truth.boxes[row]), default=None)
            ignored = best is not None and truth.difficult[best]
            good.append(not (ignored and overlap(box, truth.boxes[best]) > 0.5))
        easy = ~truth.difficult
        kept.append(
            (
                Detections(found.boxes[good], found.scores[good], found.labels[good]),
                Objects(truth.boxes[easy], truth.labels[easy], truth.difficult[easy]),
            )
        )
    return [found for found, _ in kept], [truth for _, truth in kept]


def of_mean_average_precision(detections, truths, classes, measure, monkeypatch):
    package = pytest.importorskip("mean_average_precision.mean_average_precision_2d")
    metric = package.MeanAveragePrecision2d(classes)
    for found, truth in zip(detections, truths, strict=True):
        shown = np.column_stack([found.boxes, found.labels - 1, found.scores])
        known = np.column_stack([truth.boxes, truth.labels - 1, np.zeros((len(truth), 2))])
        shown[:, 2:4] -= 1  # the last pixel
        known[:, 2:4] -= 1
        metric.add(shown, known)
    tenths = TENTHS if measure == "11-point" else None
    found = metric.value(iou_thresholds=0.5, recall_thresholds=tenths)[0.5]
    return [float(found[c]["ap"]) for c in range(classes)]


def of_object_detection_metrics(detections, truths, classes, measure, monkeypatch):
    package = pytest.importorskip("podm.metrics")
    monkeypatch.setattr(package.np, "linspace", lambda *_: TENTHS)

    def boxes(images):
        return [
            package.BoundingBox.of_bbox(number, int(label), *map(float, box), score=float(score))
            for number, one in enumerate(images)
            for box, label, score in zip(
                one.boxes, one.labels, getattr(one, "scores", one.labels), strict=True
            )
        ]

    method = "ElevenPointsInterpolation" if measure == "11-point" else "AllPointsInterpolation"
    found = package.get_pascal_voc_metrics(
        boxes(truths), boxes(detections), 0.5, package.MethodAveragePrecision[method]
    )
    return [found[c].ap if c in found else np.nan for c in range(1, classes + 1)]


def check(own, peer, measure, easy, classes, monkeypatch):
    compute, tolerance = PEERS[peer]
    theirs = compute(easy[0], easy[1], classes, measure, monkeypatch)
    known = ~np.isnan(own)  # others have 0 for a class without objects
    assert known.any()
    assert own[known] == pytest.approx(np.array(theirs)[known], abs=tolerance)


PEERS = {
    "mean-average-precision": (of_mean_average_precision, 1e-6),  # results are float32
    "object-detection-metrics": (of_object_detection_metrics, 1e-12),
}


@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("seed", range(8))
def test_random_detections(seed, measure, peer, monkeypatch):
    detections, truths, classes = random_case(seed, difficult=0.3)
    own = average_precisions(detections, truths, classes, measure=measure)
    assert 0.1 < mean_average_precision(own) < 0.9
    easy = without_difficult(detections, truths)
    assert sum(map(len, easy[0])) < sum(map(len, detections))
    check(own, peer, measure, easy, classes, monkeypatch)


def real_truths():
    """The objects of every picture in pixels, by our reader."""
    split = find_dataset(f"voc:{VOC}", None).train
    sizes, truths = [], []
    for number, path in enumerate(split.objects.paths):
        size = ElementTree.parse(path).getroot().find("size")
        sizes.append([float(size.findtext(side)) for side in ("width", "height")] * 2)
        truth = split.objects.read(number)
        truths.append(Objects(truth.boxes * sizes[-1], truth.labels, truth.difficult))
    return split.objects.paths, truths


@pytest.mark.skipif(not VOC, reason="FCPTS_REF_TEST_VOC does not name a folder in VOC's layout")
def test_real_annotations_are_those_of_another_parser():
    paths, truths = real_truths()
    assert len(paths) > 0
    for path, truth in zip(paths, truths, strict=True):
        rows = ElementTree.parse(path).getroot().findall("object")
        assert [CLASSES[label - 1] for label in truth.labels] == [r.findtext("name") for r in rows]
        sides = [
            [float(r.find("bndbox").findtext(s)) - 1 for s in ("xmin", "ymin", "xmax", "ymax")]
            for r in rows
        ]
        assert truth.boxes == pytest.approx(np.array(sides), abs=1e-9)
        difficult = [r.findtext("difficult", "0") == "1" for r in rows]
        assert truth.difficult.tolist() == difficult


@pytest.mark.skipif(not VOC, reason="FCPTS_REF_TEST_VOC does not name a folder in VOC's layout")
@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.parametrize("measure", MEASURES)
def test_real_images(measure, peer, monkeypatch):
    """Their objects, found by chance; no network that detects them comes with this program."""
    rng = np.random.default_rng(0)
    _, truths = real_truths()
    classes = len(CLASSES)
    detections = [random_detections(rng, truth, classes) for truth in truths]
    own = average_precisions(detections, truths, classes, measure=measure)
    assert 0.1 < mean_average_precision(own) < 0.9
    easy = without_difficult(detections, truths)
    check(own, peer, measure, easy, classes, monkeypatch)
