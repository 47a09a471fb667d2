"""Measure speed, memory and quality in one run: `make bench`, or `python -m tests.bench --help`.

Nothing here asserts a time: machines differ, so each figure stands beside its goal and, where it
can, as a ratio against a baseline in the same run. By default the tables are RAND HIE and a simulated
one of the shape of a hospital study (7,000 x 16); `--large` measures one of 100,000 x 40, `--table` and
`--schema` any other.
"""

import argparse
import itertools
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from synthvae.schema import Schema
from synthvae.table import read_table, write_table

STEPS = 60


def simulated_study(
    rows: int = 7000, numbers: int = 10, categories: int = 6
) -> tuple[pd.DataFrame, Schema]:
    """Return a simulated hospital study: numbers and categories, tied by two hidden factors."""
    generator = np.random.default_rng(11)
    severity, frailty = generator.normal(size=(2, rows))
    columns: dict[str, np.ndarray] = {}
    fields = []
    for k in range(numbers):
        latent = (
            0.7 * severity * (k % 3 != 0) + 0.5 * frailty * (k % 2) + generator.normal(size=rows)
        )
        value = np.exp(0.5 * latent) if k % 4 == 0 else latent
        value = np.clip(np.round(20 + 10 * value, 1), 0, 150)
        columns[f"lab {k}"] = value
        rule = {"minimum": 0, "maximum": 150}
        fields.append({"name": f"lab {k}", "type": "number", "decimals": 1, "constraints": rule})
    for k, levels in enumerate(itertools.islice(itertools.cycle((2, 2, 2, 3, 5, 2)), categories)):
        score = severity * (k % 2) + frailty + generator.normal(size=rows)
        code = np.searchsorted(np.quantile(score, np.arange(1, levels) / levels), score)
        labels = [f"level {i}" for i in range(levels)]
        columns[f"group {k}"] = np.array(labels, object)[code]
        fields.append({"name": f"group {k}", "constraints": {"enum": labels}})
    schema = Schema.from_dict({"name": "study", "patients": rows, "fields": fields})
    return pd.DataFrame(columns), schema


def command(*words: str | Path) -> tuple[float, float]:
    """Run a `synthvae` command in a process of its own; return seconds and megabytes."""
    program = "from synthvae.cli import main; main()"
    start = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-c", program, *map(str, words)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as child:
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = status
    if status:
        sys.exit(f"synthvae {' '.join(map(str, words))} failed")
    return time.perf_counter() - start, usage.ru_maxrss / 1024


def measure_start() -> None:
    """Print how long the command line takes to start."""
    times = [command("--help")[0] for _ in range(5)]
    show("synthvae --help", f"{statistics.median(times):.2f} s", "under 1 s")


def measure_table(name: str, frame: pd.DataFrame, schema: Schema, epsilon: float) -> None:
    """Print seconds, memory and quality of a fit and a sample through the command line."""
    from synthvae.scoring import evaluate
    from synthvae.table import split_by_patient

    held = split_by_patient(frame, schema, 0.2, bytes(32))
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "schema.yaml").write_text(schema.to_yaml(), encoding="utf-8")
        write_table(frame[~held], place / "train.csv", schema)
        fit, memory = command(
            "fit", place / "train.csv", "--schema", place / "schema.yaml", "--epsilon",
            str(epsilon), "--out", place / "model",
        )  # fmt: skip
        rows = str(int((~held).sum()))
        sample, _ = command(
            "sample", place / "model", "--rows", rows, "--seed", "0", "--out", place / "out.csv"
        )
        synthetic = read_table(place / "out.csv")
        limit = "under 30 s" if len(frame) < 50_000 else "under 2 minutes"
        show(f"{name}: fit + sample", f"{fit + sample:.1f} s", limit)
        show(f"{name}: memory", f"{memory:.0f} MB", "under 2,000 MB")
        measure_sampling(name, place / "model")
    begun, cpu = time.perf_counter(), time.process_time()
    scores = evaluate(frame[~held], frame[held], synthetic, schema)
    took = f"{time.perf_counter() - begun:.0f} s"
    goal = "under 2 minutes" if len(frame) < 50_000 else "under 15 minutes"
    show(f"{name}: evaluation", took, f"{goal}; {time.process_time() - cpu:.0f} s of CPU")
    for key in ("tvd1", "tvd2", "tvd3", "c2st", "membership_auc"):
        score = scores.score(key)
        beside = ", ".join(f"{k} {v:.3f}" for k, v in score.references.items() if v is not None)
        show(f"{name}: {key}", f"{score.value:.3f}", beside)


def measure_sampling(name: str, model: Path) -> None:
    """Print how many rows a second `Synthesizer.sample` makes."""
    from synthvae import Synthesizer

    synthesizer = Synthesizer.load(model)
    synthesizer.sample(1000, seed=0)
    rates = []
    for seed in range(3):
        start = time.perf_counter()
        synthesizer.sample(100_000, seed=seed)
        rates.append(100_000 / (time.perf_counter() - start))
    show(f"{name}: sampling", f"{statistics.median(rates):,.0f} rows/s", "over 100,000 rows/s")


def measure_step() -> None:
    """Print what a private training step costs beside the same step without privacy."""
    import torch

    from synthvae.marginals.measure import measure_marginals, query_weights
    from synthvae.model.coupling import untrained
    from synthvae.model.layout import Layout
    from synthvae.model.training import (
        PatientTensor,
        draw_latents,
        patient_losses,
        start_model,
        train_privately,
        trainable,
    )
    from synthvae.privacy.guarantee import TrainingStage
    from synthvae.privacy.mechanisms import Mechanisms
    from synthvae.privacy.stream import RandomStream
    from synthvae.settings import settings_for
    from synthvae.table import encode, group_by_patient

    frame, schema = simulated_study()
    settings, codes = settings_for(schema, 1.0), encode(frame, schema)
    noise = tuple(tuple(40.0 for _ in query_weights(f, settings.bins)) for f in schema.modelled)
    mechanisms = Mechanisms(RandomStream())
    marginals = measure_marginals(codes, schema.modelled, noise, settings.bins, 1, mechanisms)
    layout = Layout.build(marginals, schema.modelled, settings)
    features = layout.record_features(layout.tokens(codes))
    data = PatientTensor(features, group_by_patient(frame, schema).rows, settings.latent)
    couplings = untrained(layout)
    batch = round(settings.sampling_rate * len(frame))
    stage = TrainingStage(
        sampling_rate=settings.sampling_rate,
        noise_multiplier=30.0,
        steps=STEPS,
        clip_norm=3.0,
        expected_batch=batch,
    )
    generator, draws = torch.Generator().manual_seed(0), np.random.default_rng(0)

    def private() -> None:
        train_privately(layout, data, stage, mechanisms, couplings)

    def plain() -> None:
        model = start_model(layout, draws.standard_normal, couplings)
        adam = torch.optim.Adam(trainable(model), lr=settings.learning_rate)
        for _ in range(STEPS):
            drawn = torch.randint(len(data), (batch,), generator=generator)
            latents = draw_latents(data, drawn, draws.standard_normal)
            loss = patient_losses(model, data, drawn, 1.0, latents).mean()
            adam.zero_grad()
            loss.backward()
            adam.step()

    torch.set_num_threads(1)
    for job in (private, plain):  # the first run of each pays for torch's own start
        job()
    ratios = [seconds(private) / seconds(plain) for _ in range(5)]
    show("private step / plain step", f"{statistics.median(ratios):.2f}", "at most 2")


def measure_rules() -> None:
    """Print how fast records are drawn with eight rules or more, beside the same columns without any."""
    from tests.peers.fits import short_fit
    from tests.rules.ten_tables import TEN_TABLES

    for table in TEN_TABLES:
        if len(table.schema["rules"]) < 8:
            continue
        times = []
        for values in ({**table.schema, "rules": []}, dict(table.schema)):
            schema = Schema.from_dict(values)
            with warnings.catch_warnings(action="ignore"):  # of records that are drawn again
                model = short_fit(schema, table.frame())
                model.sample(1000, seed=0)
                times.append(seconds(partial(model.sample, 100_000, seed=1)))
        ratio = f"{times[0] / times[1]:.2f}"
        show(f"{table.name}: speed by rules", ratio, "at least 0.5 of that without")


def seconds(job: Callable[[], object]) -> float:
    """Return the seconds that a job takes."""
    start = time.perf_counter()
    job()
    return time.perf_counter() - start


def show(what: str, found: str, beside: str) -> None:
    """Print one figure and what it is to be compared with."""
    print(f"{what:<34} {found:>16}   {beside}", flush=True)


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", type=Path)
    parser.add_argument("--schema", type=Path)
    parser.add_argument("--epsilon", type=float, default=1.0)
    parser.add_argument("--large", action="store_true", help="a simulated table of 100,000 x 40")
    options = parser.parse_args()
    measure_start()
    measure_step()
    measure_rules()
    if options.table:
        schema = Schema.load(options.schema)
        measure_table(options.table.stem, read_table(options.table), schema, options.epsilon)
    elif options.large:
        measure_table("large", *simulated_study(100_000, 25, 15), options.epsilon)
    else:
        from synthvae.datasets import load_randhie

        schema = Schema.load(Path(__file__).parent.parent / "configs" / "randhie.schema.yaml")
        measure_table("study", *simulated_study(), options.epsilon)
        measure_table("randhie", load_randhie(), schema, options.epsilon)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    show("this process, scores included", f"{peak:.0f} MB", "")


if __name__ == "__main__":
    main()
