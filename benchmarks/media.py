"""Peak memory of builds over images, as files beside the rows and as bytes within them, and of an export with them."""

import io
import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from benchmarks.build import ROOT, build_apart

IMAGES = 10_000
"""Of 100 KB each, half of them as files, half as bytes in Parquet."""
SIZE = 100_000


def write_sources(folder: Path, images: int) -> None:
    """`files.jsonl` with a folder of images, and `bytes.parquet`."""
    made = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(made, "PNG")
    chance = random.Random(0)
    (folder / "images").mkdir(exist_ok=True)
    schema = pa.schema(
        [("prompt", pa.string()), ("images", pa.list_(pa.binary())), ("responses", pa.list_(pa.string()))]
    )
    with (
        (folder / "files.jsonl").open("w", encoding="utf-8") as lines,
        pq.ParquetWriter(folder / "bytes.parquet", schema) as table,
    ):
        for number in range(images):
            content = made.getvalue() + chance.randbytes(SIZE)  # what follows an image's end is part of its file
            row = {
                "prompt": f"What is in picture {number}?",
                "responses": ["A red square.", "Nothing at all, it is red."],
            }
            if number % 2:
                (folder / "images" / f"{number}.png").write_bytes(content)
                lines.write(json.dumps({**row, "images": [f"images/{number}.png"]}) + "\n")
            else:
                table.write_batch(pa.RecordBatch.from_pylist([{**row, "images": [content]}], schema=schema))


def measure(images: int = IMAGES) -> dict[str, float]:
    """GiB at the peak of the greater of two builds, each with an export that holds the images."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        # In a process of its own: a child's peak counts from the memory that its parent held.
        subprocess.run([sys.executable, "-m", "benchmarks.media", scratch, str(images)], cwd=ROOT, check=True)
        runs = [build_apart(_recipe(folder, source), folder) for source in ("files.jsonl", "bytes.parquet")]
        stored = len(list(folder.glob("data/*/media/*")))
    if stored != images:
        raise RuntimeError(f"{stored} of {images} images are stored")
    return {
        "media_peak_gib": max(run.peak_gib for run in runs),
        "media_images_per_s": images / sum(run.seconds for run in runs),
    }


def _recipe(folder: Path, source: str) -> Path:
    name = source.partition(".")[0]
    path = folder / f"{name}.yaml"
    path.write_text(
        f"""
dataset: media-{name}
prompts: {{source: {source}, columns: {{images: images}}}}
shards: 2
judges: [{{kind: length}}]
jury: {{weights: {{length: 1}}}}
release: {{formats: [trl]}}
""",
        encoding="utf-8",
    )
    return path


if __name__ == "__main__":
    write_sources(Path(sys.argv[1]), int(sys.argv[2]))
