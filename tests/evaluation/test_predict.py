"""`nasexport predict`: what it says of pictures of every kind, and what it refuses."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from exporter.evaluation.decoding import decoded
from exporter.evaluation.preprocessing import preprocessed
from exporter.models.classes import class_names
from tests.support import pictures, preloaded
from tests.support.command import Command, artifact_folder, forked, refusal, succeeded

SIZE = 64
MEGABYTE = 10**6


@pytest.fixture(scope="module")
def artifact(imagenet_artifacts: Path) -> Path:
    return artifact_folder(imagenet_artifacts, "tiny_imagenet", "classification", 4)


@pytest.fixture(scope="module")
def module(imagenet_artifacts: Path) -> Path:
    return artifact_folder(imagenet_artifacts, "tiny_imagenet", "classification", 3)


def _foreign(artifact: Path, folder: Path) -> Path:
    """A copy without what nasexport says of it."""
    shutil.copytree(artifact, folder)
    (folder / "nasexport.json").unlink()
    return folder


def test_the_likeliest_classes_are_those_of_the_network(
    cli: Command, artifact: Path, module: Path, tmp_path: Path
) -> None:
    images = [pictures.picture(seed, 70 + seed, 200) for seed in range(3)]
    paths = [pictures.written(tmp_path / f"{seed}.png", image) for seed, image in enumerate(images)]
    shares = pictures.probabilities(pictures.logits(artifact, images, SIZE))
    for folder in (artifact, module):
        result = succeeded(cli("predict", folder, *paths, "--top", 7, "--json"))
        assert "SYNTHETIC" in result.stderr
        said = json.loads(result.stdout)
        assert said["model"] == "tiny_imagenet" and said["synthetic"]["seed"] == 0
        assert said["image_size"] == [SIZE, SIZE] and said["device"].split()[0] in ("CPU", "GPU")
        assert [image["path"] for image in said["images"]] == list(map(str, paths))
        for image, share in zip(said["images"], shares, strict=True):
            best = np.argsort(-share)[:7]
            assert [found["index"] for found in image["classes"]] == best.tolist()
            assert [found["probability"] for found in image["classes"]] == pytest.approx(share[best], rel=1e-4)
            for found in image["classes"]:
                known = class_names()[found["index"]]
                assert (found["wnid"], found["name"]) == (known.wnid, known.name)

    # Where there is a card it is taken, so this one is told not to.
    result = succeeded(cli("predict", artifact, paths[0], "--device", "cpu"))
    assert "predict: computed on CPU\n" in result.stderr
    text = result.stdout.splitlines()
    assert text[0] == str(paths[0])
    assert len(text) == 6
    best = np.argsort(-shares[0])[:5]
    for line, index in zip(text[1:], best, strict=True):
        known = class_names()[index]
        assert line.split("%")[1].strip() == f"{known.name} ({known.wnid})"
        assert float(line.split("%")[0]) == pytest.approx(100 * shares[0][index], abs=0.006)


@pytest.mark.parametrize(
    ("height", "width", "size"),
    [(90, 120, 64), (500, 375, 224), (331, 331, 331), (37, 401, 64), (1, 1, 64), (2, 300, 33), (15, 17, 331)],
)
def test_preprocessing_is_that_of_the_evaluation(height: int, width: int, size: int) -> None:
    image = pictures.picture(1, height, width)
    content = pictures.encoded(image, "PNG")
    found = preprocessed(content, (size, size), "a picture")
    assert found.dtype == tf.float32
    expected = pictures.network_input(np.asarray(image), size)
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=2e-6)

    # To the last bit, what TF-Slim's preprocess_for_eval does before it scales to [-1, 1].
    pixels = tf.image.convert_image_dtype(tf.image.decode_image(content, channels=3), tf.float32)
    cropped = tf.image.central_crop(pixels, central_fraction=0.875)
    resized = tf.compat.v1.image.resize_bilinear(tf.expand_dims(cropped, 0), [size, size], align_corners=False)
    assert np.array_equal(found, tf.squeeze(resized, [0]))


def test_every_kind_of_image_is_decoded() -> None:
    image = pictures.picture(2)
    rgb, grey = np.asarray(image), np.asarray(image.convert("L"))
    translucent = image.copy()
    translucent.putalpha(image.convert("L"))
    palette = image.convert("P")
    lossless = {
        "RGB": (pictures.encoded(image, "PNG"), rgb),
        "alpha": (pictures.encoded(translucent, "PNG"), rgb),
        "greyscale": (pictures.encoded(image.convert("L"), "PNG"), np.stack([grey] * 3, -1)),
        "greyscale and alpha": (pictures.encoded(image.convert("LA"), "PNG"), np.stack([grey] * 3, -1)),
        "palette": (pictures.encoded(palette, "PNG"), np.asarray(palette.convert("RGB"))),
        "black and white": (pictures.encoded(image.convert("1"), "PNG"), np.asarray(image.convert("1").convert("RGB"))),
        "16 bits": (pictures.deep_png(rgb.astype(np.uint16) * 256 + 77), rgb),
    }
    for name, (content, expected) in lossless.items():
        assert np.array_equal(decoded(content, name), expected), name

    turned = Image.Exif()
    turned[0x0112] = 6  # orientation: to be shown turned by 90 degrees
    plain = pictures.encoded(image, "JPEG")
    lossy = {
        "JPEG": plain,
        "progressive": pictures.encoded(image, "JPEG", progressive=True),
        "greyscale": pictures.encoded(image.convert("L"), "JPEG"),
        "CMYK": pictures.encoded(image.convert("CMYK"), "JPEG"),
    }
    for name, content in lossy.items():
        with Image.open(pictures.io.BytesIO(content)) as opened:
            expected = np.asarray(opened.convert("RGB"), np.int16)
        # TensorFlow's default is the faster of the decoder's two transforms.
        assert np.abs(decoded(content, name).numpy() - expected).max() <= 8, name
    assert np.array_equal(decoded(pictures.encoded(image, "JPEG", exif=turned), "turned"), decoded(plain, "plain"))


def test_every_kind_of_image_is_classified(cli: Command, artifact: Path, tmp_path: Path) -> None:
    image = pictures.picture(3)
    grey = image.convert("L")
    turned = Image.Exif()
    turned[0x0112] = 6
    translucent = image.copy()
    translucent.putalpha(grey)
    paths = {
        "rgb": pictures.written(tmp_path / "rgb.JPEG", image),  # a PNG, as one of ImageNet's
        "alpha": pictures.written(tmp_path / "alpha.png", translucent),
        "grey": pictures.written(tmp_path / "grey.png", grey),
        "grey_rgb": pictures.written(tmp_path / "grey_rgb.png", grey.convert("RGB")),
        "jpeg": pictures.written(tmp_path / "a name with spaces é.jpg", image, kind="JPEG"),
        "turned": pictures.written(tmp_path / "turned.jpg", image, kind="JPEG", exif=turned),
        "cmyk": pictures.written(tmp_path / "cmyk.jpg", image.convert("CMYK"), kind="JPEG"),
        "deep": tmp_path / "deep.png",
    }
    paths["deep"].write_bytes(pictures.deep_png(np.asarray(image).astype(np.uint16) * 257))
    said = json.loads(succeeded(cli("predict", artifact, *paths.values(), "--top", 2000, "--json")).stdout)
    shares = {}
    for name, found in zip(paths, said["images"], strict=True):
        assert len(found["classes"]) == 1001
        shares[name] = np.array([one["probability"] for one in sorted(found["classes"], key=lambda one: one["index"])])
        assert shares[name].sum() == pytest.approx(1)
    for one, other in (("rgb", "alpha"), ("rgb", "deep"), ("grey", "grey_rgb"), ("jpeg", "turned")):
        np.testing.assert_allclose(shares[one], shares[other], rtol=1e-4)
    assert np.abs(shares["rgb"] - shares["grey"]).max() > 1e-3
    assert np.abs(shares["rgb"] - shares["cmyk"]).max() < 0.05


@pytest.mark.long
def test_an_artifact_from_elsewhere_says_its_image_size(
    cli: Command, artifact: Path, module: Path, tmp_path: Path
) -> None:
    path = pictures.written(tmp_path / "picture.png", pictures.picture(0))
    found = []
    for version, folder in {"4": artifact, "3": module}.items():
        copy = _foreign(folder, tmp_path / f"[{version}] {{a}}*")  # a path, and no pattern
        said = json.loads(succeeded(cli("predict", copy, path, "--json")).stdout)
        assert (said["model"], said["synthetic"], said["image_size"]) == (None, None, [SIZE, SIZE])
        found.append(said["images"][0]["classes"])
    assert [one["name"] for one in found[0]] == [one["name"] for one in found[1]]
    for one, other in zip(*found, strict=True):
        assert one["probability"] == pytest.approx(other["probability"], rel=1e-4)
    message = refusal(cli("predict", tmp_path / "[4] {a}*", path, "--model", "nasnet_large"))
    assert "64 x 64" in message and "331 x 331" in message
    assert "leave out --model" in refusal(cli("predict", artifact, path, "--model", "nasnet_large"))


def _red(folder: Path, classes: int, size: int) -> Path:
    """A classifier with a signature alone, whose class is the amount of red.

    Its signature has no image size, but it fails with images of another than ``size``.
    """
    network = tf.Module()

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.float32)])
    def classify(pixels):
        tf.debugging.assert_equal(tf.shape(pixels)[1:3], [size, size])
        red = (classes - 1) * tf.reduce_mean(pixels[..., 0], axis=[1, 2])
        return {"scores": -tf.abs(red[:, tf.newaxis] - tf.range(float(classes))[tf.newaxis])}

    network.classify = classify
    tf.saved_model.save(network, str(folder), signatures={"serving_default": classify})
    return folder


def test_an_artifact_that_takes_every_size_needs_a_model(cli: Command, tiny: Path, tmp_path: Path) -> None:
    path = pictures.written(tmp_path / "picture.png", Image.new("RGB", (90, 90), (56, 0, 255)))
    folder = _red(tmp_path / "imagenet", 1001, 331)
    assert "name its model with --model" in refusal(cli("predict", folder, path))
    result = succeeded(cli("predict", folder, path, "--model", "nasnet_large", "--top", 1, "--json"))
    (image,) = json.loads(result.stdout)["images"]
    assert (image["classes"][0]["index"], image["classes"][0]["wnid"]) == (220, class_names()[220].wnid)
    assert "SYNTHETIC" not in result.stderr

    # Of other classes than ImageNet's there are numbers alone.
    folder = _red(tmp_path / "tiny", 11, 64)
    said = json.loads(succeeded(cli("predict", folder, path, "--model", tiny, "--top", 20, "--json")).stdout)
    classes = said["images"][0]["classes"]
    assert [found["index"] for found in classes[:3]] == [2, 3, 1]
    assert sorted(found["index"] for found in classes) == list(range(11))
    assert all((found["wnid"], found["name"]) == (None, f"class {found['index']}") for found in classes)


def test_a_feature_vector_is_refused(cli: Command, imagenet_artifacts: Path, tmp_path: Path) -> None:
    folder = artifact_folder(imagenet_artifacts, "tiny_imagenet", "feature_vector", 4)
    path = pictures.written(tmp_path / "picture.png", pictures.picture(0))
    message = refusal(cli("predict", folder, path))
    assert "feature_vector artifact" in message and len(message.splitlines()) == 1
    message = refusal(cli("predict", _foreign(folder, tmp_path / "foreign"), path))
    assert "48 values" in message and "1001 classes" in message and "feature vector?" in message


def test_what_is_no_image_is_refused_at_once(cli: Command, artifact: Path, tmp_path: Path) -> None:
    contents = {
        "text.jpg": (b"not an image", "neither JPEG nor PNG"),
        "animation.jpg": (pictures.encoded(pictures.picture(0), "GIF"), "is a GIF image: expected JPEG, PNG"),
        "empty.jpg": (b"", "is empty"),
    }
    for name, (content, said) in contents.items():
        (tmp_path / name).write_bytes(content)
        result = cli("predict", artifact, tmp_path / name)
        message = refusal(result)
        assert name in message and said in message
        assert "loading" not in result.stderr
    assert "No such file" in refusal(cli("predict", artifact, tmp_path / "absent.jpg"))
    (tmp_path / "empty").mkdir()
    assert "no image" in refusal(cli("predict", artifact, tmp_path / "empty"))
    result = cli("predict", artifact, *(tmp_path / name for name in contents), "--json")
    assert result.returncode == 1 and result.stdout == ""
    assert result.stderr.count("nasexport: error: ") == result.stderr.count("\n") == len(contents)


def test_a_folder_stands_for_its_images_and_csv_has_a_row_for_each_class(
    cli: Command, artifact: Path, tmp_path: Path
) -> None:
    images = {name: pictures.picture(seed) for seed, name in enumerate(("a, b.png", "below/c.png", "d.png"))}
    (tmp_path / "photos" / "below").mkdir(parents=True)
    for name, image in images.items():
        pictures.written(tmp_path / "photos" / name, image)
    (tmp_path / "photos" / "notes.md").write_text("no picture")
    lone = pictures.written(tmp_path / "lone.png", pictures.picture(3))
    result = cli("predict", artifact, lone, tmp_path / "photos", "--top", 2, "--csv")
    titles, *rows = csv.reader(succeeded(result).stdout.splitlines())
    assert titles == ["path", "rank", "index", "wnid", "name", "probability"]
    paths = [str(lone), *(str(tmp_path / "photos" / name) for name in sorted(images))]
    assert [row[:2] for row in rows] == [[path, rank] for path in paths for rank in ("1", "2")]
    said = json.loads(succeeded(cli("predict", artifact, *paths, "--top", 2, "--json")).stdout)["images"]
    best = [[str(each[key] or "") for key in titles[2:]] for image in said for each in image["classes"]]
    assert [row[2:] for row in rows] == best
    assert "not both" in cli("predict", artifact, lone, "--csv", "--json").stderr


def test_bad_images_cost_a_line_each_and_not_the_others(cli: Command, artifact: Path, tmp_path: Path) -> None:
    images = [pictures.picture(seed) for seed in range(2)]
    good = [pictures.written(tmp_path / f"{seed}.png", image) for seed, image in enumerate(images)]
    shares = pictures.probabilities(pictures.logits(artifact, images, SIZE))
    cut = {}
    for kind in ("JPEG", "PNG"):  # known to be damaged only when they are decoded
        cut[kind] = pictures.written(tmp_path / f"cut.{kind}", pictures.picture(2), kind=kind)
        cut[kind].write_bytes(cut[kind].read_bytes()[:-300])
    given = [good[0], tmp_path / "absent.jpg", cut["JPEG"], cut["PNG"], good[1]]
    result = cli("predict", artifact, *given, "--json")
    assert result.returncode == 1
    lines = [line for line in result.stderr.splitlines() if line.startswith("nasexport: error: ")]
    assert len(lines) == 3 and "absent.jpg: No such file" in lines[0]
    for line, (kind, path) in zip(lines[1:], cut.items(), strict=True):
        assert f"{path} is damaged" in line and f"not a whole {kind} image" in line
    said = json.loads(result.stdout)["images"]
    assert [image["path"] for image in said] == list(map(str, given))
    assert [image["error"] for image in said] == [
        None,
        *(line.removeprefix("nasexport: error: ") for line in lines),
        None,
    ]
    assert [len(image["classes"]) for image in said] == [5, 0, 0, 0, 5]
    for image, share in zip((said[0], said[4]), shares, strict=True):
        assert [found["index"] for found in image["classes"]] == np.argsort(-share)[:5].tolist()

    result = cli("predict", artifact, *given)
    assert result.returncode == 1
    assert [line for line in result.stdout.splitlines() if not line.startswith("  ")] == list(map(str, good))


def test_an_image_beyond_all_bounds_is_refused(cli: Command, artifact: Path, tmp_path: Path) -> None:
    # 40,000 x 40,000 pixels are 60 kB of PNG, but 4.8 GB of RGB.
    path = tmp_path / "bomb.png"
    content = bytearray(pictures.encoded(Image.new("1", (8, 8)), "PNG"))
    content[16:24] = (40_000).to_bytes(4, "big") * 2
    content[29:33] = pictures.zlib.crc32(content[12:29]).to_bytes(4, "big")
    path.write_bytes(content)
    assert "40000 x 40000 pixels" in refusal(cli("predict", artifact, path))


@pytest.mark.long
def test_the_commands_own_process_stays_small(cli: Command, artifact: Path, tmp_path: Path) -> None:
    paths = [pictures.written(tmp_path / f"{seed}.png", pictures.picture(seed, 600, 600)) for seed in range(20)]
    program = (
        "import sys\nfrom exporter.cli.main import main\nmain(standalone_mode=False)\n"
        "peak = [line for line in open('/proc/self/status') if line.startswith('VmHWM')][0].split()[1]\n"
        "print(peak, 'tensorflow' in sys.modules, file=sys.stderr)"
    )
    if preloaded.AVAILABLE:
        program = f"{forked().workers_program}\n{program}"
    command = [sys.executable, "-c", program, "predict", artifact, *paths, "--json"]
    result = subprocess.run(
        list(map(str, command)), cwd=cli.cwd, env=cli.env, capture_output=True, text=True, check=True
    )
    assert len(json.loads(result.stdout)["images"]) == 20
    kilobytes, imported = result.stderr.splitlines()[-1].split()
    assert int(kilobytes) * 1024 < 100 * MEGABYTE
    assert imported == "False"
